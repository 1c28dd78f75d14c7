//! Runs what the command line says.

use std::env;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use fairlead_csi_lvm::{Command, Lv, Lvm, Vg};
use fairlead_csi_mount::{FsType, Kind, Tools, inspect};
use fairlead_csi_volume::{Fs, LvUuid, VgUuid};

use super::VolumeError;
use super::adopt::{self, Content, Options};
use super::arguments::{Adopt, Common, Explain, Gc, List, VolumeCommand};
use super::entry::size;
use super::explain::{Explained, explain, when};
use super::gc::{self, Leftovers};
use super::list::Listed;
use super::node::{Door, Node};
use super::world::{Place, World};
use crate::CliError;
use crate::policy::{Form, json};

/// Does it; what it tells goes to `out`.
///
/// # Errors
/// [`CliError`] where it cannot be done.
pub fn run(command: &VolumeCommand, out: &mut impl Write) -> Result<(), CliError> {
    let text = match command {
        VolumeCommand::List(List { output, common }) => {
            let (_, node, world) = ready(common)?;
            let listed = Listed::of(&world, node.cluster.as_deref());
            shown(*output, &listed, Listed::text)?
        }
        VolumeCommand::Explain(Explain {
            volume,
            output,
            common,
        }) => {
            let (_, node, world) = ready(common)?;
            let explained = explain(&world, &node, volume, now())?;
            shown(*output, &explained, Explained::text)?
        }
        VolumeCommand::Gc(arguments) => collect(arguments)?,
        VolumeCommand::Adopt(arguments) => take(arguments)?,
    };
    out.write_all(text.as_bytes()).map_err(CliError::Output)
}

fn ready(common: &Common) -> Result<(Door, Node, World), VolumeError> {
    let node = Node::load(common.config.as_deref(), |key| env::var(key).ok())?;
    let door = Door::open()?;
    let world = World::read(&door.lvm)?;
    Ok((door, node, world))
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn shown<T: serde::Serialize>(
    form: Form,
    result: &T,
    text: impl Fn(&T) -> String,
) -> Result<String, CliError> {
    match form {
        Form::Text => Ok(text(result)),
        Form::Json => json(result),
    }
}

fn collect(arguments: &Gc) -> Result<String, CliError> {
    let (door, node, world) = ready(&arguments.common)?;
    if let Some(what) = &arguments.delete {
        return Ok(put_aside(&door.lvm, &node, &world, what)?);
    }
    if let Some(what) = &arguments.undo {
        return Ok(take_back(&door.lvm, &node, &world, what)?);
    }
    let leftovers = Leftovers::of(&world, &node, now());
    shown(arguments.output, &leftovers, Leftovers::text)
}

fn put_aside(lvm: &Lvm, node: &Node, world: &World, what: &str) -> Result<String, VolumeError> {
    let cluster = node.cluster()?;
    let place = world.find(what)?;
    let status = lvm.status(&place.group.vg, place.lv)?;
    let plan = gc::put_aside(&place, &status, cluster, now())?;
    let path = carry_out(lvm, &place, &plan.commands)?;
    let id = place.id();
    let after = place
        .record
        .as_ref()
        .and_then(|record| record.as_ref().ok());
    let left = match after.and_then(|record| record.put_aside) {
        Some(at) => fairlead_csi_volume::aside::due(at, node.grace).saturating_sub(now()),
        None => node.grace.as_secs(),
    };
    Ok(format!(
        "{path} ({}) is put aside; a driver that runs removes it {}\nto bring it back: fairlead volume gc --undo {id}\nno \
         PersistentVolume may have it: kubectl get pv -o yaml | grep {id}\n",
        size(place.group.vg.bytes(place.lv)),
        when(left)
    ))
}

fn take_back(lvm: &Lvm, node: &Node, world: &World, what: &str) -> Result<String, VolumeError> {
    let cluster = node.cluster()?;
    let place = world.find(what)?;
    let plan = gc::take_back(&place, cluster)?;
    let path = carry_out(lvm, &place, &plan.commands)?;
    Ok(format!("{path} is a volume again, as it was before\n"))
}

/// Runs the commands; the result is the name that the volume has then.
fn carry_out(lvm: &Lvm, place: &Place<'_>, commands: &[Command]) -> Result<String, VolumeError> {
    let mut path = place.path();
    for command in commands {
        let vg = lvm.run(&place.group.vg.uuid, command)?;
        path = name_in(&vg, &place.lv.uuid).unwrap_or(path);
    }
    Ok(path)
}

fn name_in(vg: &Vg, lv: &LvUuid) -> Option<String> {
    Some(format!("{}/{}", vg.name, vg.lv(lv)?.name))
}

fn take(arguments: &Adopt) -> Result<String, CliError> {
    let (door, node, world) = ready(&arguments.common)?;
    Ok(adopted(&door.lvm, &node, &world, arguments)?)
}

fn adopted(
    lvm: &Lvm,
    node: &Node,
    world: &World,
    arguments: &Adopt,
) -> Result<String, VolumeError> {
    let place = world.find(&arguments.lv)?;
    let status = lvm.status(&place.group.vg, place.lv)?;
    let layout = adopt::check(&place, &status, node)?;
    let vg = &place.group.vg;
    let content = match (status.active, arguments.dry_run) {
        (true, _) => look(vg, place.lv)?,
        (false, true) => Content::NotSeen,
        (false, false) => activated(lvm, &vg.uuid, place.lv, || look(vg, place.lv))?,
    };
    let options = Options {
        name: arguments.name.clone(),
        block: arguments.block,
        class: arguments.storage_class.clone(),
        claim: arguments.claim.clone(),
        rename: arguments.rename,
    };
    let adoption = adopt::plan(world, &place, layout, &content, &options, node)?;
    // Comments, so that all of it can be piped to kubectl.
    let mut text = String::new();
    for note in adoption.notes {
        text = text + "# " + &note + "\n";
    }
    if arguments.dry_run {
        text.push_str("# nothing was changed\n");
    } else {
        let path = carry_out(lvm, &place, &adoption.commands)?;
        text = text + "# " + &path + " is adopted\n";
    }
    Ok(text + &adoption.yaml)
}

/// Does something while a volume is active that was not.
fn activated<T>(
    lvm: &Lvm,
    vg: &VgUuid,
    lv: &Lv,
    work: impl FnOnce() -> Result<T, VolumeError>,
) -> Result<T, VolumeError> {
    let lv = lv.uuid;
    lvm.run(vg, &Command::Activate { lv })?;
    let result = work();
    lvm.run(vg, &Command::Deactivate { lv })?;
    result
}

/// What is on an active volume. Nothing is written.
fn look(vg: &Vg, lv: &Lv) -> Result<Content, VolumeError> {
    let probe = inspect(&Tools::default(), &vg.device(lv))?;
    if probe.is_blank() {
        return Ok(Content::Nothing);
    }
    let known = [
        (FsType::Ext4, Fs::Ext4),
        (FsType::Xfs, Fs::Xfs),
        (FsType::Btrfs, Fs::Btrfs),
    ];
    let fs = known
        .into_iter()
        .find(|(kind, _)| probe.file_system(*kind).is_some_and(|it| it.complete));
    // One file system and nothing besides: whatever else has left its signature may be what is really on it.
    let other = |kind: &Kind| fs.is_none_or(|(fs, _)| !kind.is(fs));
    Ok(match (fs, probe.find(other)) {
        (Some((_, fs)), None) => Content::Fs(fs),
        _ => Content::Other(probe.to_string()),
    })
}
