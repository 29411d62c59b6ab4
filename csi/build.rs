//! Compiles the protocol definitions with protox, so that no `protoc` is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let definitions = protox::compile(
        ["proto/csi.proto", "proto/pluginregistration.proto"],
        ["proto"],
    )?;
    tonic_prost_build::configure()
        .build_transport(false)
        // The controller is no part of this plugin; its types are generated and never linked.
        .compile_fds(definitions)?;
    println!("cargo::rerun-if-changed=proto");
    Ok(())
}
