//! The arrows between the rooms, read from the sources.
#[test]
fn workspace_has_the_three_faces() {
    let manifest = std::fs::read_to_string("Cargo.toml").unwrap();
    for face in ["smesec-core", "smesec-ffi", "smesec-py"] {
        assert!(manifest.contains(face), "{face} is not a member");
    }
}
