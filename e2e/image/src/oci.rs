//! The OCI image layout (image-spec v1.1) as one tarball: one layer, one manifest, several names.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, Header};

use crate::Rootfs;

const EPOCH: &str = "1970-01-01T00:00:00Z";
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An image's configuration.
#[derive(Debug, Clone, Default)]
pub struct Image {
    /// Full references, `host/name:tag`.
    pub references: Vec<String>,
    /// The program and its fixed arguments.
    pub entrypoint: Vec<String>,
    /// Arguments that a pod's `args` replaces.
    pub command: Vec<String>,
    /// `uid:gid`; empty is root.
    pub user: String,
    /// Whether the layer is packed: worth it for what travels, not for what stays on the machine.
    pub packed: bool,
}

/// Content-addressed blobs, by hexadecimal SHA-256.
#[derive(Default)]
struct Blobs(BTreeMap<String, Vec<u8>>);

impl Blobs {
    fn put(&mut self, media_type: &str, content: Vec<u8>) -> Value {
        let digest = hex_digest(&content);
        let size = content.len();
        let descriptor =
            json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": size});
        self.0.insert(digest, content);
        descriptor
    }

    fn put_json(&mut self, media_type: &str, value: &Value) -> Result<Value> {
        Ok(self.put(media_type, serde_json::to_vec(value)?))
    }
}

/// Writes the image to `out` (by rename) and returns its manifest's digest, `sha256:…`.
///
/// # Errors
/// When a file of the tree cannot be read or `out` cannot be written.
pub fn write(image: &Image, rootfs: &Rootfs, out: &Path) -> Result<String> {
    let mut blobs = Blobs::default();
    let manifest = manifest(image, rootfs, &mut blobs)?;
    let digest = manifest["digest"].as_str().unwrap_or_default().to_owned();
    let index = index(image, &manifest);
    let temporary = out.with_extension("partial");
    save(&temporary, &index, &blobs).with_context(|| format!("write {}", out.display()))?;
    fs::rename(&temporary, out).with_context(|| format!("write {}", out.display()))?;
    Ok(digest)
}

fn manifest(image: &Image, rootfs: &Rootfs, blobs: &mut Blobs) -> Result<Value> {
    let layer = rootfs.tar()?;
    let diff_id = format!("sha256:{}", hex_digest(&layer));
    let layer = if image.packed {
        blobs.put("application/vnd.oci.image.layer.v1.tar+gzip", gzip(&layer)?)
    } else {
        blobs.put("application/vnd.oci.image.layer.v1.tar", layer)
    };
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "created": EPOCH,
        "config": {
            "Env": [PATH],
            "Entrypoint": image.entrypoint,
            "Cmd": image.command,
            "User": image.user,
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": EPOCH, "created_by": "fairlead-image"}],
    });
    let config = blobs.put_json("application/vnd.oci.image.config.v1+json", &config)?;
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": config,
        "layers": [layer],
    });
    blobs.put_json(media_type, &manifest)
}

/// One entry for each reference; `io.containerd.image.name` is what containerd's importer reads.
fn index(image: &Image, manifest: &Value) -> Value {
    let entries: Vec<Value> = image
        .references
        .iter()
        .map(|reference| {
            let mut entry = manifest.clone();
            entry["platform"] = json!({"architecture": "amd64", "os": "linux"});
            let tag = reference.rsplit(':').next().unwrap_or_default();
            entry["annotations"] = json!({
                "io.containerd.image.name": reference,
                "org.opencontainers.image.ref.name": tag,
            });
            entry
        })
        .collect();
    json!({"schemaVersion": 2, "manifests": entries})
}

fn save(path: &Path, index: &Value, blobs: &Blobs) -> Result<()> {
    let mut archive = Builder::new(File::create(path)?);
    add(
        &mut archive,
        "oci-layout",
        br#"{"imageLayoutVersion":"1.0.0"}"#,
    )?;
    add(&mut archive, "index.json", &serde_json::to_vec(index)?)?;
    for (digest, content) in &blobs.0 {
        add(&mut archive, &format!("blobs/sha256/{digest}"), content)?;
    }
    archive.into_inner()?.sync_all()?;
    Ok(())
}

fn add(archive: &mut Builder<File>, name: &str, content: &[u8]) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    Ok(archive.append_data(&mut header, name, content)?)
}

fn gzip(content: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::fast());
    encoder.write_all(content)?;
    Ok(encoder.finish()?)
}

fn hex_digest(content: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(content)
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests;
