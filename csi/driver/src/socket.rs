//! The unix socket that the driver answers on.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use futures_util::stream::{Stream, unfold};
use tokio::net::{UnixListener, UnixStream};

/// Makes the socket anew at `path`, for root only. What an earlier process left is removed; a file that
/// is no socket is not.
///
/// The socket gets its mode before it gets its name: nobody else can connect in between.
///
/// # Errors
///
/// When the folder or the socket cannot be made, or something else bears the name.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {}
        Ok(_) => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "a file that is no socket bears this name; remove it",
            ));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let unnamed = path.with_extension("new");
    match fs::remove_file(&unnamed) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&unnamed)?;
    fs::set_permissions(&unnamed, Permissions::from_mode(0o600))?;
    fs::rename(&unnamed, path)?;
    Ok(listener)
}

/// The connections that arrive, for ever.
pub(crate) fn connections(listener: UnixListener) -> impl Stream<Item = io::Result<UnixStream>> {
    unfold(listener, async |listener| {
        let accepted = listener.accept().await.map(|(stream, _)| stream);
        Some((accepted, listener))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[tokio::test]
    async fn a_socket_is_made_anew_for_root_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fairlead/csi.sock");
        let first = listen(&path).unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        drop(first);
        let _second = listen(&path).unwrap();
        let found = fs::metadata(&path).unwrap();
        assert_ne!(found.ino(), inode);
        assert_eq!(found.mode() & 0o777, 0o600);
        assert!(UnixStream::connect(&path).await.is_ok());
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("csi.sock");
        fs::write(&path, "mine").unwrap();
        assert_eq!(
            listen(&path).unwrap_err().to_string(),
            "a file that is no socket bears this name; remove it"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }
}
