//! Connections to sockets of the guest.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Receiver;

use crate::job::Event;

/// Carries bytes between `ours`, whose other end the caller has, and the guest, until both directions are closed.
pub(crate) fn carry(
    ours: UnixStream,
    events: Receiver<Event>,
    mut send: impl FnMut(Vec<u8>) -> io::Result<()> + Send + 'static,
) -> io::Result<()> {
    let (mut to_caller, mut from_caller) = (ours.try_clone()?, ours);
    std::thread::spawn(move || {
        while let Ok(Event::Data(bytes)) = events.recv() {
            if bytes.is_empty() || to_caller.write_all(&bytes).is_err() {
                break;
            }
        }
        // The guest's end is closed, or the machine gone: nothing that the caller sends can arrive.
        let _ = to_caller.shutdown(Shutdown::Both);
    });
    std::thread::spawn(move || {
        let mut buffer = vec![0; 32 * 1024];
        loop {
            let count = from_caller.read(&mut buffer).unwrap_or(0);
            if send(buffer[..count].to_vec()).is_err() || count == 0 {
                return;
            }
        }
    });
    Ok(())
}
