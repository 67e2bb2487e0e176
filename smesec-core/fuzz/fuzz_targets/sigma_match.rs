#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| smesec_fuzz::targets::sigma_match(data));
