//! Gives the shared library its SONAME, so that a program keeps the ABI it was linked with.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        // The number is SMESEC_ABI of the header and `ABI_VERSION` in src/lib.rs.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libsmesec.so.0");
    }
}
