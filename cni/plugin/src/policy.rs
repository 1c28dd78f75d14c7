//! Policy at a pod's start: asked for when the pair is made and still down, there before it is up.
//!
//! The agent puts its programs on the host end and says so; meanwhile the pod's end is configured. When no agent
//! answers, the configuration says what happens: the call fails, or this process puts the pinned programs there
//! itself and leaves a note for the agent (`owned::ATTACHMENTS`).
//!
//! Only pods have policy: a container without a pod's name in `CNI_ARGS` is none, and no policy can select it.

mod away;
mod bpf;
mod conf;
mod socket;

use std::net::IpAddr;
use std::os::unix::net::UnixStream;

use fairlead_cni_netlink::{LinkIndex, LinkName, Mac, Netlink};
use fairlead_cni_node::policy::{
    Answer, Attach, Detach, MessageError, OnAgentAway, PluginKey, PodName, RefusalCode, Request,
};
use fairlead_cni_spec::Attachment;

use crate::call::Call;
use crate::error::{PluginError, Result};

/// What `CNI_ARGS` says of pods (containerd's and CRI-O's keys).
const NAMESPACE: &str = "K8S_POD_NAMESPACE";
const NAME: &str = "K8S_POD_NAME";
const UID: &str = "K8S_POD_UID";

/// Policy of one attachment, or none where none is asked for.
#[derive(Debug)]
pub(crate) struct Policy<'a> {
    call: &'a Call,
    at: &'a Attachment,
    on: Option<(PluginKey, PodName)>,
}

/// The pair that is to have policy.
#[derive(Debug)]
pub(crate) struct Pair<'a> {
    /// The host end.
    pub(crate) host: &'a LinkName,
    /// Its number.
    pub(crate) index: LinkIndex,
    /// Its hardware address.
    pub(crate) host_mac: Mac,
    /// The pod end's.
    pub(crate) pod_mac: Mac,
    /// The pod's addresses.
    pub(crate) addresses: Vec<IpAddr>,
    /// The bridge that the host end is a port of.
    pub(crate) bridge: Option<&'a LinkName>,
}

impl<'a> Policy<'a> {
    /// What the configuration and `CNI_ARGS` say.
    pub(crate) fn of(call: &'a Call, at: &'a Attachment) -> Result<Self> {
        let pod = || {
            let text = |key| at.args.get(key).map(str::to_owned);
            Some(PodName {
                namespace: text(NAMESPACE)?,
                name: text(NAME)?,
            })
        };
        let on = conf::parse(call)?.and_then(|key| Some((key, pod()?)));
        Ok(Self { call, at, on })
    }

    /// Asks the agent for policy on a pair that is not up; [`Asked::settle`] must come before it is.
    pub(crate) fn ask(&self, pair: Pair<'_>) -> Asked<'_> {
        let asked = self.on.as_ref().map(|(key, pod)| {
            let attach = self.attach(pod, pair);
            let answer = socket::send(key, &Request::Attach(attach.clone()));
            Waiting {
                key,
                attach,
                answer,
            }
        });
        Asked(asked)
    }

    fn attach(&self, pod: &PodName, pair: Pair<'_>) -> Attach {
        Attach {
            network: self.call.conf.name.to_string(),
            container: self.at.container_id.to_string(),
            ifname: self.at.ifname.to_string(),
            host_link: pair.host.to_string(),
            if_index: pair.index.0,
            pod: pod.clone(),
            uid: self.at.args.get(UID).unwrap_or_default().to_owned(),
            addresses: pair.addresses,
            pod_mac: pair.pod_mac.0,
            host_mac: pair.host_mac.0,
            bridge: pair.bridge.map(ToString::to_string),
        }
    }

    /// Fails unless the programs are on the host end.
    pub(crate) fn check(&self, host: &mut Netlink, link: &LinkName) -> Result<()> {
        if self.on.is_none() {
            return Ok(());
        }
        away::check(host, link)
    }
}

/// Says that an attachment is gone, once its links are: the note first, then the agent, if there is one. Nobody waits
/// for its answer; it sees by itself that the link is gone.
pub(crate) fn forget(call: &Call, at: &Attachment, link: &LinkName) -> Result<()> {
    let Some(key) = conf::parse(call)? else {
        return Ok(());
    };
    let removed = away::remove_note(&key, link);
    let detach = Detach {
        network: call.conf.name.to_string(),
        container: at.container_id.to_string(),
        ifname: at.ifname.to_string(),
        host_link: link.to_string(),
    };
    let _ = socket::send(&key, &Request::Detach(detach));
    removed
}

/// A question that was sent.
#[derive(Debug)]
#[must_use = "a pair must not be up before its policy is settled"]
pub(crate) struct Asked<'a>(Option<Waiting<'a>>);

#[derive(Debug)]
struct Waiting<'a> {
    key: &'a PluginKey,
    attach: Attach,
    answer: Result<UnixStream, MessageError>,
}

impl Asked<'_> {
    /// Returns when whatever passes the host end is judged.
    pub(crate) fn settle(self, host: &mut Netlink) -> Result<()> {
        let Some(waiting) = self.0 else {
            return Ok(());
        };
        let Waiting {
            key,
            attach,
            answer,
        } = waiting;
        let silence = match answer.and_then(socket::answer) {
            Ok(Answer::Attached(_)) => return Ok(()),
            Ok(Answer::Error(refusal)) if refusal.code == RefusalCode::Starting => {
                away_error(key, refusal.message.into())
            }
            // The node cannot enforce policy, which is then no reason to keep pods from it.
            Ok(Answer::Error(refusal))
                if refusal.code == RefusalCode::Off && key.on_agent_away == OnAgentAway::Allow =>
            {
                return away::write_note(key, &attach);
            }
            Ok(Answer::Error(refusal)) => {
                return Err(PluginError::PolicyRefused {
                    message: refusal.message,
                    again: matches!(refusal.code, RefusalCode::Full | RefusalCode::Off),
                });
            }
            Ok(_) => return Err(PluginError::PolicyAnswer),
            Err(error) if error.is_silence() => away_error(key, error.into()),
            Err(source) => return Err(PluginError::PolicyMessage { source }),
        };
        match key.on_agent_away {
            OnAgentAway::Fail => Err(silence),
            OnAgentAway::Deny | OnAgentAway::Allow => away::start(key, &attach, host),
        }
    }
}

fn away_error(key: &PluginKey, source: Box<dyn std::error::Error + Send + Sync>) -> PluginError {
    PluginError::AgentAway {
        socket: key.socket.clone(),
        source,
    }
}
