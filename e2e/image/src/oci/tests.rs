//! The tarball as a reader sees it.

use std::io::Read;

use tempfile::TempDir;

use super::*;

fn image() -> Image {
    Image {
        references: vec!["example.org/a:1".into(), "example.org/a:dev".into()],
        entrypoint: vec!["/bin/a".into()],
        command: vec!["run".into()],
        user: "65535:65535".into(),
        packed: true,
    }
}

fn read(tarball: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(File::open(tarball).unwrap());
    let mut files = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        files.insert(name, content);
    }
    files
}

/// Builds from a fresh folder, so that times and inodes of the sources differ every time.
fn build() -> (String, BTreeMap<String, Vec<u8>>) {
    let folder = TempDir::new().unwrap();
    let source = folder.path().join("a");
    fs::write(&source, "program").unwrap();
    let mut rootfs = Rootfs::default();
    rootfs.copy(&source, "/bin/a", 0o755);
    rootfs.link("/bin/b", "a");
    rootfs.text("/etc/passwd", "root:x:0:0:root:/:/bin/sh\n");
    let out = folder.path().join("image.tar");
    let digest = write(&image(), &rootfs, &out).unwrap();
    (digest, read(&out))
}

#[test]
fn the_same_content_gives_the_same_bytes() {
    assert_eq!(build(), build());
}

#[test]
fn other_content_gives_another_digest() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("image.tar");
    let digest = write(&image(), &Rootfs::default(), &out).unwrap();
    assert_ne!(digest, build().0);
}

#[test]
fn every_reference_names_the_one_manifest() {
    let (digest, files) = build();
    let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
    let manifests = index["manifests"].as_array().unwrap();
    let names: Vec<_> = manifests
        .iter()
        .map(|entry| {
            entry["annotations"]["io.containerd.image.name"]
                .as_str()
                .unwrap()
        })
        .collect();
    assert_eq!(names, image().references);
    assert!(manifests.iter().all(|entry| entry["digest"] == digest));
}

#[test]
fn blobs_are_named_by_their_own_digest_and_the_layer_unpacks() {
    let (digest, files) = build();
    for (name, content) in &files {
        if let Some(digest) = name.strip_prefix("blobs/sha256/") {
            assert_eq!(digest, hex_digest(content));
        }
    }
    let blob = |digest: &Value| {
        let digest = digest.as_str().unwrap().replace(':', "/");
        &files[&format!("blobs/{digest}")]
    };
    let manifest: Value = serde_json::from_slice(blob(&json!(digest))).unwrap();
    let config: Value = serde_json::from_slice(blob(&manifest["config"]["digest"])).unwrap();
    assert_eq!(config["config"]["Entrypoint"], json!(["/bin/a"]));
    let mut layer = Vec::new();
    let packed = blob(&manifest["layers"][0]["digest"]);
    flate2::read::GzDecoder::new(packed.as_slice())
        .read_to_end(&mut layer)
        .unwrap();
    assert_eq!(
        config["rootfs"]["diff_ids"][0],
        format!("sha256:{}", hex_digest(&layer))
    );
    let mut archive = tar::Archive::new(layer.as_slice());
    let names: Vec<_> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    assert_eq!(names, ["bin", "bin/a", "bin/b", "etc", "etc/passwd"]);
}
