//! Removes everything of ours.

use std::path::Path;

use fairlead_cni_netlink::Netlink;

use crate::config::home;
use crate::error::DatapathError;
use crate::{link, pins};

/// Removes every filter of ours in the calling thread's namespace, and every pin and folder of ours in `dir`
/// (`policy.bpfDir`); says in words what it removed. What is gone already is success, and one failure does not
/// keep the rest.
#[must_use]
pub fn remove(dir: &Path) -> (Vec<String>, Vec<DatapathError>) {
    let (mut removed, mut failed) = (Vec::new(), Vec::new());
    if let Err(error) = filters(&mut removed, &mut failed) {
        failed.push(error);
    }
    let home = home(dir);
    match pins::list(&home) {
        Ok(paths) => {
            for path in paths {
                let text = format!("BPF pin {}", path.display());
                note(pins::remove(&path), text, &mut removed, &mut failed);
            }
        }
        Err(error) => failed.push(error),
    }
    for folder in [home.as_path(), dir] {
        let text = format!("BPF folder {}", folder.display());
        note(pins::remove_folder(folder), text, &mut removed, &mut failed);
    }
    (removed, failed)
}

/// Removes filters link by link.
fn filters(
    removed: &mut Vec<String>,
    failed: &mut Vec<DatapathError>,
) -> Result<(), DatapathError> {
    let netlink = &mut Netlink::open()?;
    let mut links: Vec<_> = link::filters(netlink)?
        .into_iter()
        .map(|(link, ..)| link)
        .collect();
    links.dedup();
    for link in links {
        let text = format!("policy filters of link {link}");
        note(link::detach(netlink, link), text, removed, failed);
    }
    Ok(())
}

fn note(
    done: Result<bool, DatapathError>,
    text: String,
    removed: &mut Vec<String>,
    failed: &mut Vec<DatapathError>,
) {
    match done {
        Ok(true) => removed.push(text),
        Ok(false) => {}
        Err(error) => failed.push(error),
    }
}
