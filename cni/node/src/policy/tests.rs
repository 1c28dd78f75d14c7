use super::*;

fn pod() -> PodName {
    PodName {
        namespace: "shop".into(),
        name: "web-0".into(),
    }
}

fn attach() -> Attach {
    Attach {
        network: "fairlead".into(),
        container: "c1".into(),
        ifname: "eth0".into(),
        host_link: "fl0123456789ab".into(),
        if_index: 7,
        pod: pod(),
        uid: "a-b-c".into(),
        addresses: vec!["10.244.1.5".parse().unwrap(), "fd00::5".parse().unwrap()],
        pod_mac: [2, 0, 0, 0, 0, 1],
        host_mac: [2, 0, 0, 0, 0, 0xab],
        bridge: None,
    }
}

const ATTACH: &str = r#"{"version":1,"message":{"attach":{"network":"fairlead","container":"c1","ifname":"eth0","hostLink":"fl0123456789ab","ifIndex":7,"pod":{"namespace":"shop","name":"web-0"},"uid":"a-b-c","addresses":["10.244.1.5","fd00::5"],"podMac":"02:00:00:00:00:01","hostMac":"02:00:00:00:00:ab"}}}"#;

fn error(text: &str) -> String {
    Request::decode(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn a_request_is_its_length_and_the_documented_json() {
    let bytes = Request::Attach(attach()).encode().unwrap();
    let length = u32::try_from(ATTACH.len()).unwrap();
    assert_eq!(bytes[..PREFIX], length.to_be_bytes());
    assert_eq!(std::str::from_utf8(&bytes[PREFIX..]).unwrap(), ATTACH);
    let read = Request::receive(&mut &bytes[..]).unwrap();
    assert_eq!(read, Some(Request::Attach(attach())));
}

#[test]
fn every_answer_comes_back_as_it_was_sent() {
    let isolation = Isolation {
        isolated: true,
        policies: vec!["shop/deny".into()],
    };
    let address: IpAddr = "10.244.1.5".parse().unwrap();
    for answer in [
        Answer::Attached(Attached { known: true }),
        Answer::Detached,
        Answer::Status(Box::new(Status {
            pod: pod(),
            uid: "u".into(),
            node: "n1".into(),
            addresses: vec![address],
            link: Some(LinkStatus {
                host_link: "fl0123456789ab".into(),
                if_index: 7,
                programs: true,
                known: true,
                drops: 3,
                since: Some("2026-11-23T22:00:00.000Z".into()),
                changed: None,
            }),
            ingress: isolation,
            egress: Isolation::default(),
            troubles: vec!["map full".into()],
        })),
        Answer::Explained(Explained {
            allowed: false,
            text: "no rule".into(),
            data: serde_json::json!({"ingress": []}),
        }),
        Answer::Flow(Box::new(Flow {
            time_ms: 5,
            allowed: false,
            reason: "ingress".into(),
            hook: "to-pod".into(),
            pod: Some(pod()),
            source: address,
            source_port: 1,
            source_pod: None,
            destination: address,
            destination_port: 2,
            destination_pod: Some(pod()),
            protocol: "tcp".into(),
            policies: Vec::new(),
        })),
        Answer::Lost(9),
        Answer::Error(Refusal {
            code: RefusalCode::Starting,
            message: "pods are not read yet".into(),
        }),
    ] {
        let bytes = answer.encode().unwrap();
        let read = Answer::receive(&mut &bytes[..]).unwrap();
        assert_eq!(read, Some(answer));
    }
}

#[test]
fn another_version_is_told_before_anything_else() {
    assert_eq!(
        error(r#"{"version":2}"#),
        "policy message has version 2, this program speaks version 1; \
         install agent, plugin and command of the same release"
    );
}

#[test]
fn what_is_wrong_with_a_message_is_told_in_words() {
    assert_eq!(
        error(r#"{"version":1,"message":{"jump":{}}}"#),
        "policy message is not valid: unknown variant `jump`, expected one of `attach`, `detach`, `status`, \
         `explain`, `flows` at line 1 column 30; install agent, plugin and command of the same release"
    );
    assert_eq!(
        error(&ATTACH.replace("02:00:00:00:00:01", "2:0:0:0:0:1")),
        "policy message is not valid: \"2:0:0:0:0:1\" is not a hardware address, as 02:00:5e:10:00:01 \
         at line 1 column 243; install agent, plugin and command of the same release"
    );
    for text in [
        "2:0:0:0:0:1",
        "+2:00:00:00:00:01",
        "02:00:00:00:00:01:",
        "02:00:00:00:00",
    ] {
        let text = ATTACH.replace("02:00:00:00:00:01", text);
        assert!(Request::decode(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn a_message_that_is_too_long_is_refused_before_it_is_read() {
    let length = u32::try_from(MAX_LENGTH).unwrap() + 1;
    let text = "policy message of 1048577 bytes is too long, at most 1048576 are legal";
    let read = Request::receive(&mut &length.to_be_bytes()[..]);
    assert_eq!(read.unwrap_err().to_string(), text);
    let message = Answer::Error(Refusal {
        code: RefusalCode::Failed,
        message: "x".repeat(MAX_LENGTH),
    });
    assert!(matches!(
        message.encode(),
        Err(MessageError::TooLong { .. })
    ));
}

#[test]
fn the_end_of_the_connection_is_no_message_and_half_a_message_an_error() {
    let bytes = Request::Attach(attach()).encode().unwrap();
    assert_eq!(Request::receive(&mut &[][..]).unwrap(), None);
    for end in 1..bytes.len() {
        let error = Request::receive(&mut &bytes[..end]).unwrap_err();
        assert!(error.is_silence(), "{end} bytes: {error}");
    }
}

#[test]
fn the_plugins_key_has_defaults_and_refuses_what_it_does_not_know() {
    let key: PluginKey = serde_json::from_str("{}").unwrap();
    assert_eq!(key, PluginKey::default());
    assert_eq!(
        serde_json::to_string(&key).unwrap(),
        r#"{"onAgentAway":"fail","socket":"/run/fairlead/policy.sock","bpfDir":"/sys/fs/bpf/fairlead","startTimeoutMs":2000}"#
    );
    for (name, what) in OnAgentAway::ALL {
        let key: PluginKey =
            serde_json::from_value(serde_json::json!({"onAgentAway": name})).unwrap();
        assert_eq!(key.on_agent_away, what);
    }
    assert!(serde_json::from_str::<PluginKey>(r#"{"later":1}"#).is_err());
}

fn refused_or_the_same_again(bytes: &[u8]) {
    if let Ok(Some(request)) = Request::receive(&mut &bytes[..]) {
        let again = Request::receive(&mut &request.encode().unwrap()[..]);
        assert_eq!(again.unwrap(), Some(request));
    }
    if let Ok(answer) = Answer::decode(bytes) {
        let again = Answer::decode(&answer.encode().unwrap()[PREFIX..]);
        assert_eq!(again.unwrap(), answer);
    }
}

#[test]
fn any_bytes_are_refused_or_come_back_the_same() {
    bolero::check!().for_each(refused_or_the_same_again);
}

#[test]
fn a_good_message_with_bytes_changed_is_refused_or_comes_back_the_same() {
    bolero::check!()
        .with_type::<Vec<(u16, u8)>>()
        .for_each(|changes| {
            let mut bytes = Request::Attach(attach()).encode().unwrap();
            for &(at, byte) in changes {
                let at = usize::from(at) % bytes.len();
                bytes[at] = byte;
            }
            refused_or_the_same_again(&bytes);
        });
}
