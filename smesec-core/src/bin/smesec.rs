//! The command `smesec`.

use std::io::{BufWriter, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut out = BufWriter::new(std::io::stdout());
    let args = std::env::args_os().skip(1);
    let code =
        smesec_core::cli::run(args, &mut std::io::stdin().lock(), &mut out, &mut std::io::stderr());
    // What an error left behind; all else `run` has written out.
    let _ = out.flush();
    ExitCode::from(code)
}
