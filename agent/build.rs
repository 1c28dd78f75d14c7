//! Makes the CRI client from `proto/cri.proto`, and for the tests the server side of it.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto/cri.proto");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    for (folder, client) in [("client", true), ("server", false)] {
        let files = protox::compile(["proto/cri.proto"], ["proto"])?;
        let folder = out.join(folder);
        std::fs::create_dir_all(&folder)?;
        tonic_prost_build::configure()
            .build_client(client)
            .build_server(!client)
            .build_transport(false)
            .out_dir(folder)
            .compile_fds(files)?;
    }
    Ok(())
}
