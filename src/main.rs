//! Entry of the launcher; everything is in the library.

use std::process::ExitCode;

use envlatch::environment::Environment;

fn main() -> ExitCode {
    envlatch::run(std::env::args_os(), &Environment::of_this_process())
}
