//! The files of a folder, and what each last held.
//!
//! A file that has not changed is not read again: a folder may hold a hundred thousand objects, and every change in
//! it, and the clock, ask for all of them.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fairlead_kubeapi::{Item, Object};

use crate::error::AgentError;

/// How long a file must have been left alone: changes that are closer together may bear the same time.
const SETTLED: Duration = Duration::from_secs(2);

/// By what a file is known to be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// `None` where a change of now could not be told from the last one.
    fn of(found: &Metadata, now: SystemTime) -> Option<Self> {
        let seconds = now.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let settled = i64::try_from(seconds.saturating_sub(SETTLED).as_secs()).ok()?;
        (found.ctime() < settled).then(|| Self {
            file: (found.dev(), found.ino()),
            length: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

/// What each file last held, as `T`. A file that cannot be read keeps what it held before; one that is gone does not.
#[derive(Debug)]
pub(crate) struct Files<T> {
    known: BTreeMap<PathBuf, (Option<Stamp>, T)>,
}

impl<T> Default for Files<T> {
    fn default() -> Self {
        Self {
            known: BTreeMap::new(),
        }
    }
}

/// What a look at the folder came to.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    /// Whether files are gone or were read.
    pub(crate) changed: bool,
    /// What could not be read.
    pub(crate) errors: Vec<AgentError>,
}

impl<T> Files<T> {
    /// Reads what is new or another in `folder` at the time `now`; `take` makes of a file's objects what is kept.
    ///
    /// # Errors
    ///
    /// [`AgentError::File`] when the folder itself cannot be listed; nothing is changed then.
    pub(crate) fn read(
        &mut self,
        folder: &Path,
        now: SystemTime,
        mut take: impl FnMut(&Path, Vec<Object>) -> Result<T, AgentError>,
    ) -> Result<Looked, AgentError> {
        let paths = list(folder)?;
        let had = self.known.len();
        self.known
            .retain(|path, _| paths.binary_search(path).is_ok());
        let mut looked = Looked {
            changed: self.known.len() < had,
            errors: Vec::new(),
        };
        for path in paths {
            let found = fs::metadata(&path).ok();
            let stamp = found.and_then(|found| Stamp::of(&found, now));
            let known = self.known.get_mut(&path);
            if stamp.is_some() && known.as_ref().is_some_and(|known| known.0 == stamp) {
                continue;
            }
            match objects(&path).and_then(|objects| take(&path, objects)) {
                Ok(content) => {
                    self.known.insert(path, (stamp, content));
                    looked.changed = true;
                }
                // It was removed since the folder was listed.
                Err(error) if error.is_gone() => {
                    looked.changed |= self.known.remove(&path).is_some();
                }
                Err(error) => {
                    looked.errors.push(error);
                    // What is wrong is told for as long as it is.
                    if let Some(known) = known {
                        known.0 = None;
                    }
                }
            }
        }
        Ok(looked)
    }

    /// What all files hold, in the order of their names.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.known.values().map(|(_, content)| content)
    }
}

/// The files of `folder` that may hold objects, by name.
fn list(folder: &Path) -> Result<Vec<PathBuf>, AgentError> {
    let failed = |source| AgentError::file("list", folder, source);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let hidden = path
            .file_name()
            .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let extension = path.extension().and_then(|extension| extension.to_str());
        if !hidden && matches!(extension, Some("yaml" | "yml" | "json")) {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

/// All objects of the file at `path`.
fn objects(path: &Path) -> Result<Vec<Object>, AgentError> {
    let text = fs::read_to_string(path).map_err(|source| AgentError::file("read", path, source))?;
    // JSON is YAML, too, and costs several times as much when read as that.
    let items: Vec<Item> = match serde_json::from_str(&text) {
        Ok(item) => vec![item],
        Err(_) => yaml(path, &text)?,
    };
    let mut all = Vec::new();
    for item in items {
        let more = item.into_objects();
        all.extend(more.map_err(|source| AgentError::Node {
            path: path.to_owned(),
            source,
        })?);
    }
    Ok(all)
}

fn yaml(path: &Path, text: &str) -> Result<Vec<Item>, AgentError> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|source| AgentError::Yaml {
        what: path.display().to_string(),
        source: Box::new(source),
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{File, FileTimes};

    use super::*;

    const POD: &str = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}"#;

    fn read(files: &mut Files<usize>, folder: &Path) -> (bool, Vec<String>, Vec<usize>) {
        let later = SystemTime::now() + Duration::from_mins(1);
        let looked = files.read(folder, later, |_, objects| Ok(objects.len()));
        let looked = looked.unwrap();
        let errors = looked.errors.iter().map(ToString::to_string).collect();
        (looked.changed, errors, files.values().copied().collect())
    }

    #[test]
    fn a_file_that_goes_between_listing_and_reading_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        fs::write(&path, POD).unwrap();
        let mut files = Files::default();
        assert_eq!(read(&mut files, dir.path()), (true, vec![], vec![1]));
        // It is listed, and not there when it is read.
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("gone", &path).unwrap();
        assert_eq!(read(&mut files, dir.path()), (true, vec![], vec![]));
        assert_eq!(read(&mut files, dir.path()), (false, vec![], vec![]));
    }

    #[test]
    fn a_broken_file_is_told_each_time_and_keeps_what_it_held() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        fs::write(&path, POD).unwrap();
        let mut files = Files::default();
        read(&mut files, dir.path());
        fs::write(&path, "kind: [").unwrap();
        for _ in 0..2 {
            let (changed, errors, values) = read(&mut files, dir.path());
            assert_eq!((changed, errors.len(), values), (false, 1, vec![1]));
        }
    }

    #[test]
    fn only_what_changed_long_ago_is_known_to_be_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        fs::write(&path, POD).unwrap();
        let stamp = |now| Stamp::of(&fs::metadata(&path).unwrap(), now);
        let now = SystemTime::now();
        let later = now + Duration::from_mins(1);
        assert_eq!(stamp(now), None);
        assert!(stamp(later).is_some());
        assert_eq!(stamp(later), stamp(later + SETTLED));
        let before = stamp(later);
        let file = File::options().write(true).open(&path).unwrap();
        let old = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
        file.set_times(old).unwrap();
        assert_ne!(stamp(later), before);
    }

    #[test]
    fn what_is_the_same_is_not_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        fs::write(&path, POD).unwrap();
        let mut files = Files::default();
        assert_eq!(read(&mut files, dir.path()), (true, vec![], vec![1]));
        assert_eq!(read(&mut files, dir.path()), (false, vec![], vec![1]));
        fs::write(&path, format!("{POD}\n---\n{POD}")).unwrap();
        assert_eq!(read(&mut files, dir.path()), (true, vec![], vec![2]));
    }
}
