//! What is asked of an agent, played by a thread behind a socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};

use fairlead_cni_node::policy::{
    Answer, Explain, Explained, Flow, Flows, Isolation, Message, PodName, Refusal, RefusalCode,
    Request, Side, Status,
};
use tempfile::TempDir;

use super::fairlead;

/// An agent that serves one connection.
struct Agent {
    dir: TempDir,
    thread: JoinHandle<Request>,
}

impl Agent {
    fn answering(answers: Vec<Answer>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("policy.sock")).unwrap();
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let request = Request::receive(&mut stream).unwrap().unwrap();
            for answer in answers {
                // The client may have heard enough.
                let _ = stream.write_all(&answer.encode().unwrap());
            }
            request
        });
        Self { dir, thread }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("policy.sock")
    }

    /// Runs the program against it: its exit code, output and errors, and what was asked.
    fn hear(self, arguments: &[&str]) -> ((i32, String, String), Request) {
        let socket = self.socket();
        let socket = ["--socket", socket.to_str().unwrap()];
        let told = fairlead(&[arguments, &socket].concat());
        (told, self.thread.join().unwrap())
    }
}

fn pod(name: &str) -> PodName {
    PodName {
        namespace: "shop".into(),
        name: name.into(),
    }
}

fn flow() -> Flow {
    Flow {
        time_ms: 1_700_000_000_123,
        allowed: false,
        reason: "ingress".into(),
        hook: "to-pod".into(),
        pod: Some(pod("web-0")),
        source: "10.244.1.5".parse().unwrap(),
        source_port: 40_000,
        source_pod: None,
        destination: "10.244.1.6".parse().unwrap(),
        destination_port: 80,
        destination_pod: Some(pod("web-0")),
        protocol: "tcp".into(),
        policies: Vec::new(),
    }
}

#[test]
fn status_asks_for_a_pod_and_shows_what_holds() {
    let status = Status {
        pod: pod("web-0"),
        uid: "u".into(),
        node: "n1".into(),
        addresses: vec!["10.244.1.6".parse().unwrap()],
        link: None,
        ingress: Isolation {
            isolated: true,
            policies: vec!["shop/web".into()],
        },
        egress: Isolation::default(),
        troubles: Vec::new(),
    };
    let agent = Agent::answering(vec![Answer::Status(Box::new(status))]);
    let ((code, text, errors), request) = agent.hear(&["policy", "status", "shop/web-0"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(
        text.starts_with("pod       shop/web-0\nnode      n1\n"),
        "{text}"
    );
    assert!(
        text.contains("\ningress   only what one of these allows: shop/web\n"),
        "{text}"
    );
    assert_eq!(request, Request::Status(pod("web-0")));
}

#[test]
fn explain_asks_for_a_packet_and_ends_with_what_becomes_of_it() {
    let explained = Explained {
        allowed: false,
        text: "denied\n".into(),
        data: serde_json::json!({}),
    };
    let agent = Agent::answering(vec![Answer::Explained(explained)]);
    let (told, request) = agent.hear(&["policy", "explain", "node", "shop/web-0:53/udp"]);
    assert_eq!(told, (1, "denied\n".to_owned(), String::new()));
    let packet = Explain {
        from: Side::Node,
        to: Side::Pod(pod("web-0")),
        protocol: "udp".into(),
        port: 53,
    };
    assert_eq!(request, Request::Explain(packet));
}

#[test]
fn flows_come_one_a_line_until_the_agent_ends() {
    let answers = vec![Answer::Flow(Box::new(flow())), Answer::Lost(3)];
    let agent = Agent::answering(answers);
    let ((code, text, errors), request) =
        agent.hear(&["flows", "--drops", "--pod", "shop/web-0", "-o", "json"]);
    assert_eq!(code, 1);
    assert_eq!(serde_json::from_str::<Flow>(&text).unwrap(), flow());
    assert_eq!(
        errors,
        "fairlead: 3 more could not be told; counters in the agent's metrics have them\n\
         fairlead: the agent has ended\n"
    );
    let wanted = Flows {
        drops: true,
        pod: Some(pod("web-0")),
    };
    assert_eq!(request, Request::Flows(wanted));
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_flows_quietly() {
    let answers = vec![Answer::Flow(Box::new(flow())); 10_000];
    let agent = Agent::answering(answers);
    let mut child = Command::new(env!("CARGO_BIN_EXE_fairlead"))
        .args(["flows", "--socket"])
        .arg(agent.socket())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(
        line.contains("DROP  tcp 10.244.1.5:40000 > shop/web-0 (10.244.1.6:80)"),
        "{line}"
    );
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(0), &[][..])
    );
    agent.thread.join().unwrap();
}

#[test]
fn an_agent_that_refuses_or_is_not_there_is_told() {
    let refusal = Refusal {
        code: RefusalCode::NotFound,
        message: "pod shop/web-9 is not known".into(),
    };
    let agent = Agent::answering(vec![Answer::Error(refusal)]);
    let (told, _) = agent.hear(&["policy", "status", "shop/web-9"]);
    let errors = "fairlead: the agent says: pod shop/web-9 is not known\n";
    assert_eq!(told, (1, String::new(), errors.to_owned()));

    let agent = Agent::answering(vec![Answer::Detached]);
    let (told, _) = agent.hear(&["policy", "status", "shop/web-9"]);
    let errors = "fairlead: the agent answers something else than it was asked; install agent and command of the \
                  same release\n";
    assert_eq!(told, (1, String::new(), errors.to_owned()));

    let nowhere = [
        "policy",
        "explain",
        "a",
        "b:80",
        "--socket",
        "/nonexistent/policy.sock",
    ];
    let errors = "fairlead: cannot reach the agent at /nonexistent/policy.sock: No such file or directory (os error 2); \
                  run this as root on a node, or in the agent's pod of the node in question, or give the cluster's \
                  objects with --file\n";
    assert_eq!(fairlead(&nowhere), (2, String::new(), errors.to_owned()));
}
