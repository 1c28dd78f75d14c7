//! Makes messages, clients and servers from `proto/csi.proto`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto/csi.proto");
    let files = protox::compile(["proto/csi.proto"], ["proto"])?;
    // A message that carries secrets has no Debug: nothing can put it into a log.
    let secret: Vec<String> = files
        .file
        .iter()
        .flat_map(|file| &file.message_type)
        .filter(|message| message.field.iter().any(|field| field.name() == "secrets"))
        .map(|message| format!(".csi.v1.{}", message.name()))
        .collect();
    tonic_prost_build::configure()
        .build_transport(false)
        .btree_map(".")
        .skip_debug(secret)
        .compile_fds(files)?;
    Ok(())
}
