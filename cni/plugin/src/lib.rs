//! The CNI plugin: one static binary whose name says its role.
//!
//! A call reads the environment and standard input into checked types, does its one operation through
//! netlink and the lease file, prints one JSON object and ends. It starts no other program but a foreign
//! IPAM plugin, has no thread and keeps no state of its own: what it made is in the kernel, under names
//! that are derived from network, container and interface, so that DEL needs nothing but those three.

mod call;
mod compare;
mod delete;
mod error;
mod gc;
mod identity;
mod ingress;
mod ipam;
mod node;
mod pod;
mod policy;
mod role;
mod roles;
mod routed;
mod sysctls;

use std::io::{self, Read, Write};

use fairlead_cni_spec::{Command, Env, ErrorObject, Operation, PluginConf, Version, version_reply};
use serde_json::Value;

use crate::call::Call;
use crate::error::PluginError;
use crate::role::Role;

/// Serves the call that this process was started for; the exit code is 0 on success.
#[must_use]
pub fn run() -> i32 {
    if std::env::var_os("CNI_COMMAND").is_none_or(|command| command.is_empty()) {
        about();
        return 0;
    }
    let (printed, code) = match serve() {
        Ok(output) => (output, 0),
        Err((object, version)) => (Some(object.to_json(version)), 1),
    };
    let written = printed.map_or(Ok(()), |json| writeln!(io::stdout().lock(), "{json}"));
    if written.is_ok() { code } else { 1 }
}

/// What a person sees who starts the program by hand.
fn about() {
    let versions = Version::ALL.map(Version::as_str).join(", ");
    let _ = writeln!(
        io::stderr(),
        "CNI plugin fairlead-cni v{}\nCNI protocol versions supported: {versions}",
        env!("CARGO_PKG_VERSION"),
    );
}

/// The JSON to print, or the error in the version that the configuration asked for.
fn serve() -> Result<Option<Value>, (ErrorObject, Version)> {
    let early = |error: PluginError| (error.object(Command::Version), Version::CURRENT);
    let role = Role::of_process().map_err(early)?;
    let env = Env::parse(|name| std::env::var_os(name)).map_err(|error| early(error.into()))?;
    let mut stdin = Vec::new();
    let read = io::stdin().lock().read_to_end(&mut stdin);
    let command = env.operation.command();
    if command == Command::Version {
        return Ok(Some(version_reply(&stdin)));
    }
    read.map_err(|source| early(PluginError::Stdin { source }))?;
    let conf = PluginConf::parse(&stdin).map_err(|error| early(error.into()))?;
    let version = conf.version;
    let told = |error: PluginError| (error.object(command), version);
    version
        .allows(command)
        .map_err(|error| told(error.into()))?;
    let call = Call {
        conf,
        stdin,
        path: env.path,
        netns_override: env.netns_override,
    };
    dispatch(role.operations(), &call, &env.operation).map_err(told)
}

fn dispatch(
    role: &dyn role::Operations,
    call: &Call,
    operation: &Operation,
) -> Result<Option<Value>, PluginError> {
    match operation {
        Operation::Add(at, netns) => {
            let result = role.add(call, at, netns)?;
            return Ok(Some(result.to_version(call.conf.version)?));
        }
        Operation::Del(at, netns) => role.del(call, at, netns.as_deref())?,
        Operation::Check(at, netns) => role.check(call, at, netns)?,
        Operation::Status => role.status(call)?,
        Operation::Gc => role.gc(call)?,
        Operation::Version => {}
    }
    Ok(None)
}
