//! Files of the BPF file system: where maps and programs are pinned.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use aya::pin::PinError;
use nix::sys::statfs::statfs;

use crate::error::DatapathError;

/// `BPF_FS_MAGIC`.
const MAGIC: i64 = 0xcafe_4a11;

/// The name of a pin that is about to take another's place. Names have no dots there.
const FRESH: &str = "about_to_be_pinned";

/// Makes the folder `home`, which has to be in a BPF file system.
pub(crate) fn make(home: &Path) -> Result<(), DatapathError> {
    let mut existing = home;
    while !existing.exists() {
        existing = existing.parent().unwrap_or(Path::new("/"));
    }
    let found = statfs(existing).map_err(|errno| failed("look at", existing)(errno.into()))?;
    if found.filesystem_type().0 != MAGIC {
        return Err(DatapathError::NotBpfFs { dir: home.into() });
    }
    std::fs::create_dir_all(home).map_err(failed("make", home))
}

/// Pins at `path`, in one step in the place of what is pinned there.
pub(crate) fn replace(
    path: &Path,
    pin: impl FnOnce(&Path) -> Result<(), PinError>,
) -> Result<(), DatapathError> {
    let fresh = path.with_file_name(FRESH);
    remove(&fresh)?;
    pin(&fresh).map_err(|source| DatapathError::Pin {
        path: path.into(),
        source: Box::new(source),
    })?;
    std::fs::rename(&fresh, path).map_err(failed("put a pin at", path))
}

/// Removes a pin; says whether there was one.
pub(crate) fn remove(path: &Path) -> Result<bool, DatapathError> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("remove", path)(error)),
    }
}

/// The files in `home`; none when there is no such folder.
pub(crate) fn list(home: &Path) -> Result<Vec<PathBuf>, DatapathError> {
    let entries = match std::fs::read_dir(home) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("read", home)(error)),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    paths
        .collect::<Result<_, _>>()
        .map_err(failed("read", home))
}

/// Removes an empty folder; one that is gone or has something in it is left as it is.
pub(crate) fn remove_folder(path: &Path) -> Result<bool, DatapathError> {
    match std::fs::remove_dir(path) {
        Ok(()) => Ok(true),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty
            ) =>
        {
            Ok(false)
        }
        Err(error) => Err(failed("remove", path)(error)),
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> DatapathError {
    let path = path.to_owned();
    move |source| DatapathError::File {
        doing,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_elsewhere_is_refused() {
        let dir = std::env::temp_dir().join("fairlead-no-bpffs").join("v1");
        let error = make(&dir).unwrap_err();
        assert!(matches!(error, DatapathError::NotBpfFs { .. }), "{error}");
        assert!(!dir.exists());
    }
}
