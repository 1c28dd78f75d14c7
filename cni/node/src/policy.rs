//! What is said over the agent's policy socket, by the plugin and by `fairlead policy` and `fairlead flows`, and the
//! plugin's `policy` key that leads there.
//!
//! A message is its length in four bytes, the highest first, and so many bytes of JSON with a `version`. One request
//! goes over a connection; one answer comes back, for [`Request::Flows`] as many as the client waits for.

use std::io::{ErrorKind, Read};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::owned::{BPF_DIR, POLICY_SOCKET};

mod mac;

/// The version that this crate speaks.
pub const VERSION: u64 = 1;

/// Bytes of the length before a message.
pub const PREFIX: usize = 4;

/// The longest message in bytes, the length before it not counted.
pub const MAX_LENGTH: usize = 1 << 20;

/// How much longer than the agent the plugin waits: the agent's own answer is better, and it may have much to do.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// What the plugin does when no agent answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnAgentAway {
    /// ADD fails, and the runtime tries again.
    #[default]
    Fail,
    /// The pod starts, and nothing passes until an agent knows it.
    Deny,
    /// The pod starts, and everything passes until an agent knows it; its flows are tracked.
    Allow,
}

impl OnAgentAway {
    /// Each with its name in configurations.
    pub const ALL: [(&str, Self); 3] = [
        ("fail", Self::Fail),
        ("deny", Self::Deny),
        ("allow", Self::Allow),
    ];
}

/// The plugin's key `policy`: with it, a pod's policy is put on its link before the link is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PluginKey {
    /// What happens when no agent answers.
    pub on_agent_away: OnAgentAway,
    /// The agent's socket. The folder [`crate::owned::ATTACHMENTS`] is beside it.
    pub socket: PathBuf,
    /// Where programs and maps are pinned, in a folder [`crate::owned::BPF_LAYOUT`].
    pub bpf_dir: PathBuf,
    /// How long the agent waits for a pod to be known, in milliseconds. The plugin waits [`PATIENCE`] longer.
    pub start_timeout_ms: u64,
}

impl Default for PluginKey {
    fn default() -> Self {
        Self {
            on_agent_away: OnAgentAway::default(),
            socket: POLICY_SOCKET.into(),
            bpf_dir: BPF_DIR.into(),
            start_timeout_ms: 2_000,
        }
    }
}

/// A pod by its names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PodName {
    /// Its namespace.
    pub namespace: String,
    /// Its name there.
    pub name: String,
}

impl std::fmt::Display for PodName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Request {
    /// The plugin has made a pair that is not up yet: put policy on its host end.
    Attach(Attach),
    /// The plugin has removed a pair.
    Detach(Detach),
    /// What holds for a pod.
    Status(PodName),
    /// What happens to a packet, and why.
    Explain(Explain),
    /// Tell what happens to flows from now on.
    Flows(Flows),
}

/// An attachment of a pod: what [`Request::Attach`] says, and what a file in [`crate::owned::ATTACHMENTS`] holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attach {
    /// The CNI network's name.
    pub network: String,
    /// The container's id.
    pub container: String,
    /// Its interface.
    pub ifname: String,
    /// The host end's name.
    pub host_link: String,
    /// The host end's number.
    pub if_index: u32,
    /// The pod.
    pub pod: PodName,
    /// The pod's UID; empty when the runtime has not told it.
    #[serde(default)]
    pub uid: String,
    /// The pod's addresses.
    pub addresses: Vec<IpAddr>,
    /// MAC address of the pod's end.
    #[serde(with = "mac")]
    pub pod_mac: [u8; 6],
    /// MAC address of the host's end.
    #[serde(with = "mac")]
    pub host_mac: [u8; 6],
    /// The bridge whose port the host end is; none for a routed pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
}

/// An attachment that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Detach {
    /// The CNI network's name.
    pub network: String,
    /// The container's id.
    pub container: String,
    /// Its interface.
    pub ifname: String,
    /// The host end's name.
    pub host_link: String,
}

/// One end of a packet that is asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Side {
    /// A pod.
    Pod(PodName),
    /// An address, whoever has it.
    Address(IpAddr),
    /// The node that the agent runs on.
    Node,
}

/// A packet that is asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explain {
    /// Who sends.
    pub from: Side,
    /// Who receives.
    pub to: Side,
    /// `tcp`, `udp`, `sctp`, `icmp` or a number.
    pub protocol: String,
    /// The receiver's port; 0 for protocols without.
    #[serde(default)]
    pub port: u16,
}

/// Which flows are told.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Flows {
    /// Only those that are dropped.
    pub drops: bool,
    /// Only those of this pod.
    pub pod: Option<PodName>,
}

/// What the agent answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// To [`Request::Attach`]: the programs are on the link and whatever passes is judged.
    Attached(Attached),
    /// To [`Request::Detach`].
    Detached,
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Explain`].
    Explained(Explained),
    /// To [`Request::Flows`], again and again.
    Flow(Box<Flow>),
    /// To [`Request::Flows`]: so many could not be told since the last answer.
    Lost(u64),
    /// To anything: it cannot be done.
    Error(Refusal),
}

/// How a pod starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attached {
    /// Whether the pod's policy is known; else nothing passes until it is.
    pub known: bool,
}

/// What holds for a pod on the agent's node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The pod.
    pub pod: PodName,
    /// Its UID.
    pub uid: String,
    /// The node that it runs on.
    pub node: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Where its packets are judged; none when it is not on the agent's node, or is its node.
    #[serde(default)]
    pub link: Option<LinkStatus>,
    /// What may come in.
    pub ingress: Isolation,
    /// What may go out.
    pub egress: Isolation,
    /// What is wrong, in words.
    #[serde(default)]
    pub troubles: Vec<String>,
}

/// Where a pod's packets are judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkStatus {
    /// The host end's name.
    pub host_link: String,
    /// Its number.
    pub if_index: u32,
    /// Whether both programs are on it.
    pub programs: bool,
    /// Whether the pod's policy is known; else nothing passes.
    pub known: bool,
    /// Packets that the pod's rules dropped, of all pods here that have the same.
    #[serde(default)]
    pub drops: u64,
    /// Since when its packets are judged, in RFC 3339's form.
    #[serde(default)]
    pub since: Option<String>,
    /// Since when by the present rules: when the rules of either direction were last written as others.
    #[serde(default)]
    pub changed: Option<String>,
}

/// One direction of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Isolation {
    /// Whether a policy isolates it: only what one of them allows passes.
    pub isolated: bool,
    /// The policies that isolate it, by name.
    pub policies: Vec<String>,
}

/// What happens to a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// Whether it passes.
    pub allowed: bool,
    /// Why, in words.
    pub text: String,
    /// Why, for programs.
    pub data: Value,
}

/// What happened to a flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Flow {
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// Whether it was let through.
    pub allowed: bool,
    /// Why: `allowed`, `ingress`, `egress`, `source` and so on.
    pub reason: String,
    /// Where: `from-pod`, `to-pod`, `to-wire` or `to-node`.
    pub hook: String,
    /// The pod that was judged, when it is known.
    #[serde(default)]
    pub pod: Option<PodName>,
    /// Sender.
    pub source: IpAddr,
    /// The sender's port; 0 for protocols without.
    pub source_port: u16,
    /// The pod with the sender's address.
    #[serde(default)]
    pub source_pod: Option<PodName>,
    /// Receiver.
    pub destination: IpAddr,
    /// The receiver's port; 0 for protocols without.
    pub destination_port: u16,
    /// The pod with the receiver's address.
    #[serde(default)]
    pub destination_pod: Option<PodName>,
    /// `tcp`, `udp`, `sctp`, `icmp` or a number.
    pub protocol: String,
    /// The policies that isolate the judged pod in the judged direction, and so dropped it; or that let it through.
    #[serde(default)]
    pub policies: Vec<String>,
}

/// Why a request is not served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// Which kind.
    pub code: RefusalCode,
    /// In words.
    pub message: String,
}

/// Kinds of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RefusalCode {
    /// The agent does not speak the request's version, or does not understand it.
    Unsupported,
    /// What was asked about is not known.
    NotFound,
    /// Not now: the agent has not yet read what it needs.
    Starting,
    /// No slot is left for another bridged pod, or a map is full.
    Full,
    /// Policy is switched off, or this kernel lacks a feature that it needs.
    Off,
    /// Something else failed.
    Failed,
}

/// Why a message cannot be read.
#[derive(Debug, Error)]
pub enum MessageError {
    /// Longer than [`MAX_LENGTH`].
    #[error("policy message of {length} bytes is too long, at most {MAX_LENGTH} are legal")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// Of another version.
    #[error(
        "policy message has version {found}, this program speaks version {VERSION}; \
         install agent, plugin and command of the same release"
    )]
    Version {
        /// Its version.
        found: u64,
    },
    /// Not the JSON of a message.
    #[error(
        "policy message is not valid: {source}; install agent, plugin and command of the same release"
    )]
    Decode {
        /// What the JSON parser says.
        #[from]
        source: serde_json::Error,
    },
    /// It cannot be sent or received.
    #[error("cannot speak over the policy socket")]
    Receive {
        /// What the kernel says.
        source: std::io::Error,
    },
    /// The other side closed the connection without saying anything.
    #[error("the policy socket was closed without an answer")]
    Closed,
}

impl MessageError {
    /// Whether the other side did not say anything in time, or at all: it is not there, rather than wrong.
    #[must_use]
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Receive { .. } | Self::Closed)
    }
}

#[derive(Serialize)]
struct Sent<'a, T> {
    version: u64,
    message: &'a T,
}

#[derive(Deserialize)]
struct Received<T> {
    message: T,
}

#[derive(Deserialize)]
struct Version {
    version: u64,
}

/// Something that goes over the socket.
pub trait Message: Serialize + DeserializeOwned {
    /// The message with its length before it.
    ///
    /// # Errors
    ///
    /// [`MessageError::TooLong`].
    fn encode(&self) -> Result<Vec<u8>, MessageError> {
        let sent = Sent {
            version: VERSION,
            message: self,
        };
        let mut bytes = vec![0; PREFIX];
        serde_json::to_writer(&mut bytes, &sent)?;
        let length = bytes.len() - PREFIX;
        let told = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        length_of(told)?;
        bytes[..PREFIX].copy_from_slice(&told);
        Ok(bytes)
    }

    /// Reads a message's bytes, those behind the length. A version other than [`VERSION`] is told before anything
    /// else; unknown keys are skipped.
    ///
    /// # Errors
    ///
    /// [`MessageError::Version`] and [`MessageError::Decode`].
    fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let Version { version: found } = serde_json::from_slice(bytes)?;
        if found != VERSION {
            return Err(MessageError::Version { found });
        }
        Ok(serde_json::from_slice::<Received<Self>>(bytes)?.message)
    }

    /// Receives one message; `None` when the other side closed the connection before one.
    ///
    /// # Errors
    ///
    /// Any [`MessageError`] but `Closed`.
    fn receive(from: &mut impl Read) -> Result<Option<Self>, MessageError> {
        let failed = |source| MessageError::Receive { source };
        let mut prefix = [0; PREFIX];
        let mut have = 0;
        while have < PREFIX {
            match from.read(&mut prefix[have..]) {
                Ok(0) if have == 0 => return Ok(None),
                Ok(0) => return Err(failed(ErrorKind::UnexpectedEof.into())),
                Ok(more) => have += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        let mut bytes = vec![0; length_of(prefix)?];
        from.read_exact(&mut bytes).map_err(failed)?;
        Self::decode(&bytes).map(Some)
    }
}

impl Message for Request {}
impl Message for Answer {}

/// The length of the message that is announced by `prefix`.
///
/// # Errors
///
/// [`MessageError::TooLong`].
pub fn length_of(prefix: [u8; PREFIX]) -> Result<usize, MessageError> {
    let length = usize::try_from(u32::from_be_bytes(prefix)).unwrap_or(usize::MAX);
    if length > MAX_LENGTH {
        return Err(MessageError::TooLong { length });
    }
    Ok(length)
}

#[cfg(test)]
mod tests;
