//! LVM's commands, word for word as the driver's worker gets them: same flags, and tags and names of the same length.

use anyhow::{Context as _, Result};
use fairlead_csi_volume::VolumeId;

use super::exec::Exec;
use crate::storage::{LARGER, SIZE, THICK, VG};

/// The bytes that an extent has by default.
const EXTENT: u64 = 4 << 20;

/// Names and tags as the driver gives them, under another cluster's id: the driver takes none of these for its own.
#[derive(Debug)]
pub(super) struct Lines {
    pool: String,
    volume: Like,
    snapshot: Like,
}

/// What volumes of a kind look like.
#[derive(Debug)]
struct Like {
    name: String,
    tags: Vec<String>,
}

impl Lines {
    /// As the driver's volume and snapshot with these ids are.
    pub(super) fn like(exec: &Exec, volume: &str, snapshot: &str) -> Result<Self> {
        let pool = exec.report("pool_lv", &select(volume)?)?;
        Ok(Self {
            pool: pool.trim().to_owned(),
            volume: Like::read(exec, volume)?,
            snapshot: Like::read(exec, snapshot)?,
        })
    }

    /// The pool that they are in.
    pub(super) fn pool(&self) -> &str {
        &self.pool
    }

    /// The name of the volume with a number, as long as one of the driver's.
    pub(super) fn name(&self, number: usize) -> String {
        let length = self.volume.name.len();
        format!("{}{number:06}", &self.volume.name[..length - 6])
    }

    /// Whether a name is one that [`Self::name`] gives.
    pub(super) fn is_numbered(&self, name: &str) -> bool {
        let (start, end) = name.split_at(name.len().saturating_sub(6));
        self.volume.name.starts_with(start)
            && name.len() == self.volume.name.len()
            && end.bytes().all(|byte| byte.is_ascii_digit())
    }

    pub(super) fn create(&self, name: &str) -> Vec<String> {
        let size = SIZE >> 10;
        let mut words = split(&format!(
            "lvcreate -y -an -ky --type=thin -V{size}k --thinpool={VG}/{} -n {name}",
            self.pool
        ));
        words.extend(self.volume.tags.iter().cloned());
        words
    }

    pub(super) fn snapshot(&self, of: &str, name: &str) -> Vec<String> {
        let mut words = split(&format!("lvcreate -y -an -ky -s -pr -n {name}"));
        words.extend(self.snapshot.tags.iter().cloned());
        words.push(format!("{VG}/{of}"));
        words
    }

    pub(super) fn copy(&self, of: &str, name: &str) -> Vec<String> {
        let mut words = split(&format!("lvcreate -y -an -ky -s -n {name}"));
        words.extend(self.volume.tags.iter().cloned());
        words.push(format!("{VG}/{of}"));
        words
    }

    pub(super) fn thick(&self, name: &str) -> Vec<String> {
        let extents = THICK / EXTENT;
        let mut words = split(&format!(
            "lvcreate -y -Wn -Zn -ky -an -l{extents} --type=linear -n {name}"
        ));
        words.extend(self.volume.tags.iter().cloned());
        words.push(VG.to_owned());
        words
    }

    pub(super) fn expand(name: &str) -> Vec<String> {
        split(&format!("lvextend -y -l{} {VG}/{name}", LARGER / EXTENT))
    }

    /// The driver says by id which one it means.
    pub(super) fn remove(name: &str, uuid: &str) -> Vec<String> {
        split(&format!("lvremove -y --select=lv_uuid={uuid} {VG}/{name}"))
    }
}

impl Like {
    fn read(exec: &Exec, id: &str) -> Result<Self> {
        let text = exec.report("lv_name,lv_tags", &select(id)?)?;
        let (name, tags) = text.trim().split_once(' ').context("a volume with tags")?;
        let tags = tags
            .trim()
            .split(',')
            .map(|tag| match tag.strip_prefix("fl.c=") {
                Some(cluster) => format!("--addtag=fl.c={}", cluster.replace('1', "2")),
                None => format!("--addtag={tag}"),
            });
        Ok(Self {
            name: name.to_owned(),
            tags: tags.collect(),
        })
    }
}

/// A volume by its driver's id.
fn select(id: &str) -> Result<String> {
    let id: VolumeId = id.parse()?;
    Ok(format!("lv_uuid={}", id.lv.with_dashes()))
}

fn split(words: &str) -> Vec<String> {
    words.split_whitespace().map(str::to_owned).collect()
}
