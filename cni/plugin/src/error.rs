//! Everything that a call can fail with, and the one place that gives each failure its CNI code.

use std::io;
use std::path::PathBuf;

use fairlead_cni_spec::{Code, Command, ErrorObject, SpecError};

/// Result of this crate.
pub(crate) type Result<T, E = PluginError> = std::result::Result<T, E>;

/// Codes of our own, above those that the spec keeps (spec section 5, "Error").
mod own {
    /// The interface exists already.
    pub(super) const EXISTS: u32 = 100;
    /// CHECK found something missing or changed.
    pub(super) const CHECK: u32 = 101;
    /// The requested address is held by someone else, or the container holds one already.
    pub(super) const ADDRESS: u32 = 102;
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PluginError {
    /// The program has a name that is no role.
    #[error("{name:?} is no role of this program: link it as one of {roles}")]
    Role {
        /// The name that it was started by.
        name: String,
        /// All names.
        roles: String,
    },
    /// Standard input.
    #[error("cannot read the network configuration from standard input")]
    Stdin {
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Environment, configuration or result.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The lease file, or the configuration of addresses.
    #[error(transparent)]
    Ipam(#[from] fairlead_ipam::IpamError),
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] fairlead_cni_netlink::NetlinkError),
    /// The namespace's path does not exist.
    #[error("CNI_NETNS: {path} does not exist")]
    NetnsGone {
        /// The path.
        path: PathBuf,
    },
    /// What stands at the path is no network namespace.
    #[error("CNI_NETNS: {path} is not a network namespace")]
    NetnsInvalid {
        /// The path.
        path: PathBuf,
        /// The kernel's error.
        #[source]
        source: fairlead_cni_netlink::NetlinkError,
    },
    /// The namespace is the plugin's own.
    #[error(
        "CNI_NETNS: {path} is the plugin's own network namespace; set CNI_NETNS_OVERRIDE=1 if that is meant"
    )]
    NetnsOwn {
        /// The path.
        path: PathBuf,
    },
    /// The name is taken inside the container.
    #[error("CNI_IFNAME: interface {ifname} exists already in {netns}")]
    IfNameTaken {
        /// The name.
        ifname: String,
        /// The namespace.
        netns: PathBuf,
    },
    /// The attachment's host end is there although ADD was not called for it, or DEL was not.
    #[error("interface {name} of this attachment exists already on the host, DEL removes it")]
    HostLinkTaken {
        /// The name.
        name: String,
    },
    /// A key that this kernel cannot serve.
    #[error("{key}: {value} is not supported, {reason}")]
    Unsupported {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// Why.
        reason: &'static str,
    },
    /// The agent has not said yet what this node is.
    #[error("node file {path} cannot be used, the agent writes it when the node is ready")]
    NodeFile {
        /// The path.
        path: PathBuf,
        /// The system's error, or what is wrong with the content.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nobody puts policy on the pod's link now.
    #[error(
        "the agent does not answer on {socket}: no pod starts without its policy while policy.onAgentAway is \"fail\""
    )]
    AgentAway {
        /// The policy socket.
        socket: PathBuf,
        /// The system's error, or the agent's own words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The agent has never run since the node was started, so that nobody can put policy on the pod's link.
    #[error(
        "the agent does not answer and has not pinned {path} since the node was started: no pod starts without its policy"
    )]
    NotPinned {
        /// What is not there.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The agent cannot put policy on the pod's link.
    #[error("the agent puts no policy on the pod's interface: {message}")]
    PolicyRefused {
        /// In its words.
        message: String,
        /// Whether it may at another time.
        again: bool,
    },
    /// The agent is of another release.
    #[error("the agent's answer cannot be understood")]
    PolicyMessage {
        /// What is wrong with it.
        #[source]
        source: fairlead_cni_node::policy::MessageError,
    },
    /// The agent answered another question.
    #[error(
        "the agent's answer is none to this question; install agent and plugin of the same release"
    )]
    PolicyAnswer,
    /// The pod cannot be entered into the map of pods.
    #[error("cannot let the pod's traffic pass while the agent is away")]
    PolicyEntry {
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The note about an attachment.
    #[error("cannot {doing} {path}, by which the agent knows the pod's interface")]
    Note {
        /// What was tried.
        doing: &'static str,
        /// The note.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Bridged pods would bypass Services and policies.
    #[error("sysctl {key} is {value}, it must be 1 for bridged pods in a cluster{hint}")]
    BridgeNetfilter {
        /// The sysctl's name.
        key: &'static str,
        /// Its value, or `absent`.
        value: String,
        /// What to do.
        hint: &'static str,
    },
    /// A delegated plugin is not there.
    #[error("ipam.type: {plugin:?} was not found in CNI_PATH {searched:?}")]
    DelegateMissing {
        /// Its file name.
        plugin: String,
        /// Where it was looked for.
        searched: String,
    },
    /// A delegated plugin could not be run.
    #[error("cannot run IPAM plugin {path}")]
    DelegateRun {
        /// Its path.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A delegated plugin failed; its code is passed on.
    #[error("IPAM plugin {plugin}: {}", object.msg)]
    Delegate {
        /// Its file name.
        plugin: String,
        /// What it printed.
        object: ErrorObject,
    },
    /// A delegated plugin gave no address.
    #[error("IPAM plugin {plugin} returned no address")]
    NoAddress {
        /// Its file name.
        plugin: String,
    },
    /// An address on the bridge stands in the way.
    #[error(
        "bridge {bridge} has address {found}, wanted is {wanted}: remove it or set forceAddress"
    )]
    BridgeAddress {
        /// The bridge.
        bridge: String,
        /// What it has.
        found: String,
        /// What it must have.
        wanted: String,
    },
    /// The bridge's name belongs to something else.
    #[error("bridge: {name:?} is the name of a device that is no bridge")]
    NotABridge {
        /// The name.
        name: String,
    },
    /// The bridge does not forward for the port in time.
    #[error("interface {name} is {state} after {seconds} s, it must be up: is bridge {bridge} up?")]
    PortDown {
        /// The port.
        name: String,
        /// Its operational state.
        state: String,
        /// How long it was waited for.
        seconds: u64,
        /// The bridge.
        bridge: String,
    },
    /// Duplicate address detection found another owner.
    #[error("address {address} is in use by another host of the network")]
    Duplicate {
        /// The address.
        address: String,
    },
    /// CHECK needs the result of ADD.
    #[error("prevResult: missing, CHECK compares with it")]
    NoPrevResult,
    /// CHECK found that something is gone.
    #[error("{object} is missing {place}")]
    Missing {
        /// What.
        object: String,
        /// Where, with its preposition.
        place: String,
    },
    /// CHECK found that something changed.
    #[error("{object} is {found}, it must be {wanted}")]
    Differs {
        /// What.
        object: String,
        /// As it is.
        found: String,
        /// As ADD made it.
        wanted: String,
    },
    /// Several steps of a tear-down failed.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Several(Vec<PluginError>),
}

impl PluginError {
    /// The error for a value of `CNI_ARGS`.
    pub(crate) fn arg(key: &str, value: &str, legal: &str) -> Self {
        let value = format!("{:?}", format!("{key}={value}"));
        SpecError::InvalidEnv {
            key: "CNI_ARGS".to_owned(),
            value,
            legal: legal.to_owned(),
        }
        .into()
    }

    /// Success when nothing failed, the one error, or all of them.
    pub(crate) fn all(results: impl IntoIterator<Item = Result<()>>) -> Result<()> {
        let mut errors: Vec<Self> = results.into_iter().filter_map(Result::err).collect();
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Self::Several(errors)),
        }
    }

    /// The JSON object to print.
    pub(crate) fn object(&self, command: Command) -> ErrorObject {
        let mut object = ErrorObject::of(self.code(command), self);
        if let Self::Delegate { object: theirs, .. } = self {
            object.details.clone_from(&theirs.details);
        }
        object
    }

    /// The CNI code; the only place that gives one.
    fn code(&self, command: Command) -> Code {
        use fairlead_ipam::ErrorKind;
        let status = command == Command::Status;
        let code = match self {
            Self::Spec(error) => error.code(),
            Self::Stdin { .. } | Self::DelegateRun { .. } | Self::Note { .. } => Code::Io,
            Self::NetnsGone { .. } => Code::UnknownContainer,
            Self::NetnsInvalid { .. } | Self::NetnsOwn { .. } => Code::InvalidNetns,
            Self::Unsupported { .. } => Code::UnsupportedField,
            Self::NoPrevResult | Self::DelegateMissing { .. } | Self::NotABridge { .. } => {
                Code::InvalidConfig
            }
            Self::NodeFile { .. }
            | Self::AgentAway { .. }
            | Self::NotPinned { .. }
            | Self::PolicyRefused { again: true, .. } => Code::TryAgainLater,
            Self::IfNameTaken { .. } | Self::HostLinkTaken { .. } => Code::Other(own::EXISTS),
            Self::Missing { .. } | Self::Differs { .. } => Code::Other(own::CHECK),
            Self::Delegate { object, .. } => object.code,
            Self::Several(errors) => errors.first().map_or(Code::Internal, |e| e.code(command)),
            Self::Ipam(error) => match error.kind() {
                ErrorKind::Decode => Code::Decode,
                ErrorKind::Config => Code::InvalidConfig,
                ErrorKind::Environment => Code::InvalidEnvironment,
                ErrorKind::Exhausted => Code::TryAgainLater,
                ErrorKind::Taken => Code::Other(own::ADDRESS),
                _ => Code::Io,
            },
            Self::Role { .. }
            | Self::Kernel(_)
            | Self::BridgeNetfilter { .. }
            | Self::PolicyRefused { .. }
            | Self::PolicyMessage { .. }
            | Self::PolicyAnswer
            | Self::PolicyEntry { .. }
            | Self::NoAddress { .. }
            | Self::BridgeAddress { .. }
            | Self::Duplicate { .. }
            | Self::PortDown { .. } => Code::Internal,
        };
        match code {
            // STATUS knows only these two (spec section 2, "STATUS"); a wrong call stays a wrong call.
            Code::TryAgainLater | Code::Internal | Code::Io | Code::Other(_) if status => {
                Code::NotAvailable
            }
            code => code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_says_not_available_where_add_says_try_again() {
        let error = PluginError::NodeFile {
            path: "/run/fairlead/node.json".into(),
            source: Box::new(io::Error::from(io::ErrorKind::NotFound)),
        };
        assert_eq!(error.object(Command::Add).code, Code::TryAgainLater);
        let object = error.object(Command::Status);
        assert_eq!(object.code, Code::NotAvailable);
        assert_eq!(
            object.msg,
            "node file /run/fairlead/node.json cannot be used, the agent writes it when the node is ready"
        );
        assert_eq!(object.details, "entity not found");
    }

    #[test]
    fn a_delegates_code_and_details_are_passed_on() {
        let object = ErrorObject {
            code: Code::from_number(11),
            msg: "full".into(),
            details: "x".into(),
        };
        let error = PluginError::Delegate {
            plugin: "dhcp".into(),
            object,
        };
        let told = error.object(Command::Add);
        assert_eq!(
            (told.code, told.msg.as_str(), told.details.as_str()),
            (Code::TryAgainLater, "IPAM plugin dhcp: full", "x")
        );
        assert_eq!(error.object(Command::Status).code, Code::NotAvailable);
    }

    #[test]
    fn all_failures_of_a_tear_down_are_told() {
        let missing = |object: &str| {
            Err(PluginError::Missing {
                object: object.into(),
                place: "there".into(),
            })
        };
        assert!(PluginError::all([Ok(()), Ok(())]).is_ok());
        let text = PluginError::all([missing("a"), Ok(()), missing("b")])
            .unwrap_err()
            .to_string();
        assert_eq!(text, "a is missing there; b is missing there");
    }
}
