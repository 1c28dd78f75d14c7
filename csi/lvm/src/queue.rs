//! What LVM has written down for a thin pool and may not have told the kernel.
//!
//! LVM changes a pool in three steps: it commits its metadata with messages and a transaction id that is one more, sends
//! the messages and then the id to the kernel, and commits its metadata without messages. A command that dies on the way
//! leaves messages, and LVM (2.03.16 at least) goes on badly from there: activation does not send them, so a new
//! volume has no data; the next command of the pool adds its own message under the same id, and all of them are left
//! out when the kernel has that id already; a message that was sent before the id is refused the second time.
//! So a pool with messages is settled, by these steps, before it is changed or used:
//!
//! | messages | in the kernel                   | step                                                        |
//! |----------|---------------------------------|-------------------------------------------------------------|
//! | some     | no pool                         | the pool is activated                                       |
//! | some     | a pool that the kernel stopped  | it is deactivated, once no volume of it is active           |
//! | some     | the id before                   | the messages are sent from here, then the id                |
//! | some     | the same id                     | LVM makes a scratch volume: it forgets the messages first   |
//! | any      | the same id, a scratch volume   | LVM removes it                                              |
//! | none     |                                 | nothing is to be done                                       |

use std::io;

use crate::dm::{DeviceMapper, Key};
use crate::probe::dm_uuid;
use crate::{Command, Layout, Lv, LvUuid, PoolMessage, PoolStatus, Vg};

/// The volume that is made and removed so that LVM forgets messages. It never holds anything.
const SCRATCH: &str = "fairlead-settle";

/// What a pool needs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Activate,
    Deactivate,
    Send,
    Forget,
    Remove,
}

/// The next step of a pool that is `kernel` there; `None`: it is not active.
pub(crate) fn step(vg: &Vg, pool: &Lv, kernel: Option<&PoolStatus>) -> Option<Step> {
    let Layout::ThinPool {
        messages,
        transaction_id,
        ..
    } = &pool.layout
    else {
        return None;
    };
    let scratch = vg
        .thins_of(&pool.name)
        .any(|lv| lv.name == SCRATCH)
        .then_some(Step::Remove);
    if messages.is_empty() {
        return scratch;
    }
    match kernel {
        None => Some(Step::Activate),
        Some(kernel) if kernel.stopped() => Some(Step::Deactivate),
        Some(kernel) if kernel.transaction_id + 1 == *transaction_id => Some(Step::Send),
        // With any other id than the same it is LVM that refuses, with its words.
        Some(_) => scratch.or(Some(Step::Forget)),
    }
}

/// LVM's words for a step.
pub(crate) fn argv(vg: &Vg, pool: &Lv, step: Step) -> Vec<String> {
    let (group, size) = (&vg.name, vg.extent_size / 1024);
    let line = match step {
        Step::Activate => format!("lvchange -y -ay -K {group}/{}", pool.name),
        Step::Deactivate => format!("lvchange -y -an {group}/{}", pool.name),
        Step::Forget => format!(
            "lvcreate -y -ay -Wn --type=thin -V{size}k --thinpool={group}/{} -n {SCRATCH}",
            pool.name
        ),
        Step::Remove => format!("lvremove -y {group}/{SCRATCH}"),
        Step::Send => String::new(),
    };
    line.split_whitespace().map(str::to_owned).collect()
}

/// The pools that a command changes, or whose volumes it brings to life.
pub(crate) fn pools<'a>(vg: &'a Vg, command: &Command) -> Vec<&'a Lv> {
    let mut pools: Vec<&Lv> = match command {
        Command::CreateThin { pool, .. } => vg.lv(pool).into_iter().collect(),
        Command::Snapshot { of: lv, .. } | Command::Activate { lv } => {
            pool_of(vg, lv).into_iter().collect()
        }
        Command::Remove { lvs } => lvs.iter().filter_map(|lv| pool_of(vg, lv)).collect(),
        _ => Vec::new(),
    };
    pools.sort_unstable_by_key(|pool| pool.uuid);
    pools.dedup_by_key(|pool| pool.uuid);
    pools
}

/// The pool of a thin volume.
pub(crate) fn pool_of<'a>(vg: &'a Vg, lv: &LvUuid) -> Option<&'a Lv> {
    match &vg.lv(lv)?.layout {
        Layout::Thin { pool, .. } => vg.lv_named(pool),
        _ => None,
    }
}

/// Sends all messages and the id. To be called under LVM's lock, with the pool at the id before.
///
/// A message may have been sent without the id: what it made is made again, because its content is that of another
/// moment. The origin of a snapshot is suspended meanwhile, as dm-thin-pool demands.
pub(crate) fn send(dm: &DeviceMapper, vg: &Vg, pool: &Lv) -> io::Result<()> {
    let Layout::ThinPool {
        messages,
        transaction_id,
        ..
    } = &pool.layout
    else {
        return Ok(());
    };
    let device = format!("{}-tpool", dm_uuid(&vg.uuid, &pool.uuid));
    let say = |message: &str| dm.message(Key::Uuid(&device), message);
    let delete = |id: u32| match say(&format!("delete {id}")) {
        Err(error) if error.raw_os_error() == Some(libc::ENODATA) => Ok(()),
        result => result,
    };
    for message in messages {
        match message {
            PoolMessage::Delete(id) => delete(*id)?,
            PoolMessage::Create(name) => {
                let Some((id, origin)) = thin(vg, name) else {
                    continue;
                };
                delete(id)?;
                match origin.and_then(|origin| Some((vg.lv_named(origin)?, thin(vg, origin)?.0))) {
                    None => say(&format!("create_thin {id}"))?,
                    Some((lv, of)) => {
                        let origin = dm_uuid(&vg.uuid, &lv.uuid);
                        suspended(dm, &origin, || say(&format!("create_snap {id} {of}")))?;
                    }
                }
            }
        }
    }
    let before = transaction_id.saturating_sub(1);
    say(&format!("set_transaction_id {before} {transaction_id}"))
}

/// The id inside of the pool, and the origin's name.
fn thin<'a>(vg: &'a Vg, name: &str) -> Option<(u32, Option<&'a str>)> {
    match &vg.lv_named(name)?.layout {
        Layout::Thin {
            device_id, origin, ..
        } => Some((*device_id, origin.as_deref())),
        _ => None,
    }
}

/// Does something while a device is suspended, if it is there.
fn suspended(
    dm: &DeviceMapper,
    uuid: &str,
    work: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    let device = dm.device(Key::Uuid(uuid))?;
    if device.is_none_or(|device| !device.live || device.suspended) {
        return work();
    }
    dm.suspend(Key::Uuid(uuid))?;
    let done = work();
    dm.resume(Key::Uuid(uuid))?;
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PoolMode;
    use crate::metadata::describe;

    fn vg(messages: &str, volumes: &[(&str, u32)]) -> Vg {
        let id = |number: u32| format!("{number:0>6}-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa");
        let pool = format!(
            "pool {{ id = \"{}\" status = [\"VISIBLE\"] segment1 {{ extent_count = 9 type = \"thin-pool\" \
             metadata = \"m\" pool = \"d\" transaction_id = 8 chunk_size = 128 {messages} }} }}\n",
            id(2)
        );
        let thins: Vec<String> = volumes
            .iter()
            .map(|(name, number)| {
                format!(
                    "{name} {{ id = \"{}\" segment1 {{ extent_count = 1 type = \"thin\" thin_pool = \"pool\" \
                     device_id = {number} }} }}\n",
                    id(10 + number)
                )
            })
            .collect();
        let text = format!(
            "data {{ id = \"{}\" seqno = 1 extent_size = 8192 logical_volumes {{\n{pool}{}}} }}",
            id(1),
            thins.concat()
        );
        describe(text.into(), None).expect("described").vg
    }

    fn status(transaction_id: u64, mode: PoolMode) -> PoolStatus {
        PoolStatus {
            transaction_id,
            data_used: 0,
            data_total: 1,
            metadata_used: 0,
            metadata_total: 1,
            low_water: 0,
            mode,
            needs_check: false,
            queue_when_full: true,
            held_root: None,
        }
    }

    fn next(messages: &str, volumes: &[(&str, u32)], kernel: Option<&PoolStatus>) -> Option<Step> {
        let vg = vg(messages, volumes);
        step(&vg, vg.lv_named("pool").expect("there"), kernel)
    }

    #[test]
    fn a_pool_is_settled_step_by_step() {
        let create = "message1 { create = \"one\" }";
        let scratch = [("one", 1), (SCRATCH, 2)];
        let made = "message1 { create = \"fairlead-settle\" }";
        let table: [(&str, &[_], Option<u64>, _); 9] = [
            ("", &[("one", 1)], None, None),
            ("", &[("one", 1)], Some(8), None),
            (create, &[("one", 1)], None, Some(Step::Activate)),
            (create, &[("one", 1)], Some(7), Some(Step::Send)),
            (create, &[("one", 1)], Some(8), Some(Step::Forget)),
            (create, &[("one", 1)], Some(3), Some(Step::Forget)),
            (made, &scratch, Some(7), Some(Step::Send)),
            (made, &scratch, Some(8), Some(Step::Remove)),
            ("", &scratch, Some(8), Some(Step::Remove)),
        ];
        let working = |id| status(id, PoolMode::ReadWrite);
        for (messages, volumes, kernel, expected) in table {
            assert_eq!(
                next(messages, volumes, kernel.map(working).as_ref()),
                expected,
                "{messages} {kernel:?}"
            );
        }
    }

    #[test]
    fn a_pool_that_the_kernel_has_stopped_is_deactivated_before_it_is_told_anything() {
        let create = "message1 { create = \"one\" }";
        let volumes = [("one", 1)];
        for (id, mode) in [
            (7, PoolMode::ReadOnly),
            (8, PoolMode::ReadOnly),
            (0, PoolMode::Failed),
        ] {
            let stopped = status(id, mode);
            assert_eq!(
                next(create, &volumes, Some(&stopped)),
                Some(Step::Deactivate)
            );
            assert_eq!(next("", &volumes, Some(&stopped)), None);
        }
        let checked = PoolStatus {
            needs_check: true,
            ..status(7, PoolMode::ReadWrite)
        };
        assert_eq!(
            next(create, &volumes, Some(&checked)),
            Some(Step::Deactivate)
        );
        let full = status(7, PoolMode::OutOfDataSpace);
        assert_eq!(next(create, &volumes, Some(&full)), Some(Step::Send));
    }

    #[test]
    fn commands_name_the_pools_that_they_change() {
        let vg = vg("message1 { delete = 3 }", &[("one", 1), ("two", 2)]);
        let id = |name: &str| vg.lv_named(name).expect("there").uuid;
        let names = |command: &Command| -> Vec<&str> {
            let pools = pools(&vg, command);
            pools.into_iter().map(|pool| pool.name.as_str()).collect()
        };
        let lvs = vec![id("one"), id("two"), id("pool")];
        assert_eq!(names(&Command::Remove { lvs }), ["pool"]);
        assert_eq!(names(&Command::Activate { lv: id("one") }), ["pool"]);
        assert_eq!(names(&Command::Activate { lv: id("pool") }), [""; 0]);
        assert_eq!(names(&Command::Deactivate { lv: id("one") }), [""; 0]);
    }
}
