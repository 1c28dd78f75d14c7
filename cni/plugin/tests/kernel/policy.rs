//! What the plugin says to an agent about policy, and what it does when none answers. Here the agent is a thread;
//! the real one, with programs, is in the agent's tests.

use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};

use fairlead_cni_netlink::LinkName;
use fairlead_cni_node::policy::{
    Answer, Attach, Attached, Message as _, Refusal, RefusalCode, Request,
};
use serde_json::{Value, json};

use crate::bridge;
use crate::direct;
use crate::node::{Container, Failure, Node, container};

/// How long the plugin is told that the agent takes at most, in milliseconds.
const LIMIT: u64 = 50;

/// A pod as containerd names it.
const POD: (&str, &str) = (
    "CNI_ARGS",
    "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=x;K8S_POD_UID=u-1",
);

fn socket(node: &Node) -> PathBuf {
    node.data_dir().with_file_name("policy.sock")
}

/// A configuration with policy.
fn with_policy(node: &Node, mut conf: Value, away: &str) -> Value {
    conf["policy"] = json!({
        "onAgentAway": away, "socket": socket(node), "startTimeoutMs": LIMIT,
        "bpfDir": node.data_dir().with_file_name("bpf"),
    });
    conf
}

fn call(node: &Node, command: &str, pod: &Container, conf: &Value) -> Result<Value, Failure> {
    let mut vars = pod.vars().to_vec();
    vars.push(POD);
    node.call(conf["type"].as_str().unwrap(), command, &vars, conf)
}

fn failure(result: Result<Value, Failure>) -> Failure {
    result.unwrap_err()
}

/// An agent that answers everything alike, and what it is asked. With `None` it never answers.
fn agent(node: &Node, answer: Option<Vec<u8>>) -> Receiver<Request> {
    let listener = UnixListener::bind(socket(node)).unwrap();
    let (told, asked) = channel();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = Request::receive(&mut stream).unwrap().unwrap();
            match &answer {
                // The plugin does not wait for the answer to everything.
                Some(answer) => drop(stream.write_all(answer)),
                None => kept.push(stream),
            }
            if told.send(request).is_err() {
                return;
            }
        }
    });
    asked
}

fn refusal(code: RefusalCode, message: &str) -> Vec<u8> {
    let message = message.into();
    Answer::Error(Refusal { code, message }).encode().unwrap()
}

fn attached() -> Vec<u8> {
    Answer::Attached(Attached { known: true }).encode().unwrap()
}

fn attach(asked: &Receiver<Request>) -> Attach {
    match asked.recv().unwrap() {
        Request::Attach(attach) => attach,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_agent_is_told_all_about_a_routed_pair_and_its_end() {
    let node = direct::node();
    let conf = with_policy(&node, node.direct(), "fail");
    let asked = agent(&node, Some(attached()));
    let pod = container("c1");
    let result = call(&node, "ADD", &pod, &conf).unwrap();
    let told = attach(&asked);
    let name = result["interfaces"][0]["name"].as_str().unwrap();
    let mac = |at: usize| {
        let text = result["interfaces"][at]["mac"].as_str().unwrap();
        text.parse::<fairlead_cni_netlink::Mac>().unwrap().0
    };
    let index = node
        .host
        .netlink()
        .unwrap()
        .index_of(&LinkName::new(name).unwrap());
    let wanted = Attach {
        network: "fairlead".into(),
        container: "c1".into(),
        ifname: "eth0".into(),
        host_link: name.into(),
        if_index: index.unwrap().0,
        pod: fairlead_cni_node::policy::PodName {
            namespace: "shop".into(),
            name: "web-0".into(),
        },
        uid: "u-1".into(),
        addresses: vec![
            "10.244.1.1".parse().unwrap(),
            "fd00:244:1::1".parse().unwrap(),
        ],
        pod_mac: mac(1),
        host_mac: mac(0),
        bridge: None,
    };
    assert_eq!(told, wanted);
    call(&node, "DEL", &pod, &conf).unwrap();
    match asked.recv().unwrap() {
        Request::Detach(detach) => assert_eq!(detach.host_link, name),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_agent_is_asked_while_the_host_end_is_down() {
    let node = direct::node();
    let conf = with_policy(&node, node.direct(), "fail");
    let listener = UnixListener::bind(socket(&node)).unwrap();
    let pod = container("c1");
    std::thread::scope(|scope| {
        let add = scope.spawn(|| call(&node, "ADD", &pod, &conf));
        let (mut stream, _) = listener.accept().unwrap();
        let Some(Request::Attach(told)) = Request::receive(&mut stream).unwrap() else {
            panic!("no request to attach");
        };
        let link = LinkName::new(&told.host_link).unwrap();
        assert!(!node.host.netlink().unwrap().link(&link).unwrap().is_up());
        stream.write_all(&attached()).unwrap();
        add.join().unwrap().unwrap();
        assert!(node.host.netlink().unwrap().link(&link).unwrap().is_up());
    });
}

#[test]
fn the_bridge_of_a_bridged_pod_is_told() {
    let node = Node::new();
    let conf = with_policy(&node, bridge::conf(&node), "fail");
    let asked = agent(&node, Some(attached()));
    let pod = container("c1");
    let result = call(&node, "ADD", &pod, &conf).unwrap();
    let told = attach(&asked);
    assert_eq!(
        told.bridge.as_deref(),
        result["interfaces"][0]["name"].as_str()
    );
    assert_eq!(
        Some(told.host_link.as_str()),
        result["interfaces"][1]["name"].as_str()
    );
    call(&node, "DEL", &pod, &conf).unwrap();
}

#[test]
fn nobody_is_asked_for_what_is_no_pod() {
    let node = direct::node();
    let conf = with_policy(&node, node.direct(), "fail");
    let pod = container("c1");
    node.add(&pod, &conf).unwrap();
    node.del(&pod, &conf).unwrap();
}

/// ADD fails and leaves nothing.
fn refused(node: &Node, conf: &Value) -> Failure {
    let before = node.state("fairlead");
    let pod = container("c1");
    let failure = failure(call(node, "ADD", &pod, conf));
    before.assert_same(&node.state("fairlead"), "after an ADD that failed");
    call(node, "DEL", &pod, conf).unwrap();
    failure
}

#[test]
fn without_an_agent_no_pod_starts_where_that_is_to_fail() {
    let node = direct::node();
    let conf = with_policy(&node, node.direct(), "fail");
    let text = format!(
        "the agent does not answer on {}: no pod starts without its policy while policy.onAgentAway is \"fail\"",
        socket(&node).display()
    );
    let told = refused(&node, &conf);
    assert_eq!((told.code, told.msg.as_str()), (11, text.as_str()));
    // One that died leaves its socket behind.
    drop(UnixListener::bind(socket(&node)).unwrap());
    let told = refused(&node, &conf);
    assert_eq!((told.code, told.msg.as_str()), (11, text.as_str()));
    assert_eq!(
        told.details,
        "cannot speak over the policy socket: Connection refused (os error 111)"
    );
}

#[test]
fn an_agent_that_hangs_is_not_waited_for_longer_than_configured() {
    let node = direct::node();
    let conf = with_policy(&node, node.direct(), "fail");
    let _asked = agent(&node, None);
    assert_eq!(refused(&node, &conf).code, 11);
}

#[test]
fn an_agent_that_is_not_ready_is_away() {
    let node = direct::node();
    let conf = with_policy(&node, node.direct(), "fail");
    let _asked = agent(
        &node,
        Some(refusal(RefusalCode::Starting, "pods are not read yet")),
    );
    let told = refused(&node, &conf);
    assert_eq!(
        (told.code, told.details.as_str()),
        (11, "pods are not read yet")
    );
}

#[test]
fn the_agents_words_are_passed_on() {
    for (code, number) in [
        (RefusalCode::Full, 11),
        (RefusalCode::Off, 11),
        (RefusalCode::Failed, 999),
        (RefusalCode::Unsupported, 999),
    ] {
        let node = direct::node();
        // Whatever is to be done without an agent: there is one.
        let conf = with_policy(&node, node.direct(), "deny");
        let _asked = agent(&node, Some(refusal(code, "no slot is left")));
        let told = refused(&node, &conf);
        let text = "the agent puts no policy on the pod's interface: no slot is left";
        assert_eq!((told.code, told.msg.as_str()), (number, text), "{code:?}");
    }
}

#[test]
fn where_the_node_cannot_enforce_policy_pods_start_without_if_they_may() -> std::io::Result<()> {
    let node = direct::node();
    let conf = with_policy(&node, node.direct(), "allow");
    let _asked = agent(&node, Some(refusal(RefusalCode::Off, "no bpf(2)")));
    let pod = container("c1");
    let result = call(&node, "ADD", &pod, &conf).unwrap();
    let name = result["interfaces"][0]["name"].as_str().unwrap();
    // An agent that can knows whose link it is.
    let notes = node.data_dir().with_file_name("attachments");
    let told: Attach = serde_json::from_slice(&std::fs::read(notes.join(format!("{name}.json")))?)?;
    assert_eq!((told.host_link.as_str(), told.uid.as_str()), (name, "u-1"));
    call(&node, "DEL", &pod, &conf).unwrap();
    assert_eq!(std::fs::read_dir(notes)?.count(), 0);
    Ok(())
}

#[test]
fn answers_that_mean_nothing_are_told_in_words() {
    let bytes = |text: &str| {
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        Some([&length[..], text.as_bytes()].concat())
    };
    for (answer, text) in [
        (
            Some(Answer::Detached.encode().unwrap()),
            "the agent's answer is none to this question; install agent and plugin of the same release",
        ),
        (
            bytes(r#"{"version":7}"#),
            "the agent's answer cannot be understood",
        ),
        (bytes("hello"), "the agent's answer cannot be understood"),
    ] {
        let node = direct::node();
        let conf = with_policy(&node, node.direct(), "deny");
        let _asked = agent(&node, answer);
        let told = refused(&node, &conf);
        assert_eq!((told.code, told.msg.as_str()), (999, text));
    }
}

#[test]
fn without_pinned_programs_no_pod_starts_without_an_agent() {
    for away in ["deny", "allow"] {
        let node = direct::node();
        let conf = with_policy(&node, node.direct(), away);
        let program = node.data_dir().with_file_name("bpf").join("v1/from_pod");
        let text = format!(
            "the agent does not answer and has not pinned {} since the node was started: no pod starts without its policy",
            program.display()
        );
        let told = refused(&node, &conf);
        assert_eq!(
            (told.code, told.msg.as_str()),
            (11, text.as_str()),
            "{away}"
        );
    }
}

#[test]
fn check_misses_the_programs() {
    let node = direct::node();
    let conf = with_policy(&node, node.direct(), "fail");
    let _asked = agent(&node, Some(attached()));
    let pod = container("c1");
    let result = call(&node, "ADD", &pod, &conf).unwrap();
    let name = result["interfaces"][0]["name"].as_str().unwrap();
    let mut checked = conf.clone();
    checked["prevResult"] = result.clone();
    let told = failure(call(&node, "CHECK", &pod, &checked));
    let text = format!("the policy program at ingress of interface {name} is missing on the host");
    assert_eq!((told.code, told.msg), (101, text));
}
