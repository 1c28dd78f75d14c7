use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;

const LEAST: &str = "classes: [{name: default, vg: data}]\n";
const SCHEMA: &str = include_str!("../../../../docs/csi.schema.json");

fn parse(text: &str) -> Result<Config, String> {
    let environment = |variable: &str| match variable {
        "NODE_NAME" => Some("n1".to_owned()),
        "CLUSTER_ID" => Some("c1".to_owned()),
        _ => None,
    };
    Config::parse(text, environment).map_err(|error| error.to_string())
}

/// Every key, so that any text comes to stand in the place of any value.
const ALL: &str = "node: {name: n}\nendpoint: /a\ncluster: {id: c}\nrunDir: /b\nclasses:\n\
    - {name: a, vg: v, pool: p, createPool: true, overprovision: 2.5, reserve: 5%, whenFull: error}\n\
    ephemeral: {enabled: true}\ngc: {grace: 72h}\nlimits: {volumes: 7}\nhealth: {listen: \"127.0.0.1:1\"}\n\
    metrics: {enabled: true, listen: \"127.0.0.1:2\"}\nlog: {format: json, level: warn}\n";

proptest! {
    #[test]
    fn any_text_is_a_configuration_or_is_refused(text in "\\PC{0,40}", at in any::<prop::sample::Index>()) {
        let _ = parse(&text);
        let words: Vec<&str> = ALL.split(' ').collect();
        let at = at.index(words.len());
        for new in [&*text, "1e400", "18446744073709551616h", "-1", "99999999999999Ti", "[]"] {
            let mut words = words.clone();
            words[at] = new;
            let _ = parse(&words.join(" "));
        }
    }
}

#[test]
fn one_class_is_all_that_has_to_be_said() {
    let config = parse(LEAST).unwrap();
    assert_eq!(
        (config.node.as_str(), config.cluster.as_str()),
        ("n1", "c1")
    );
    assert_eq!(config.endpoint, Path::new("/run/fairlead/csi.sock"));
    assert_eq!(config.run_dir, Path::new("/run/fairlead/csi"));
    let class = Class {
        name: "default".to_owned(),
        vg: "data".to_owned(),
        pool: "fairlead-pool".to_owned(),
        create_pool: true,
        overprovision_percent: 200,
        reserve: Reserve::Percent(5),
        when_full: WhenFull::Queue,
    };
    assert_eq!(config.classes, [class]);
    assert_eq!((config.ephemeral, config.volumes), (false, None));
    assert_eq!(config.grace, Duration::from_hours(72));
    assert_eq!(config.health, "127.0.0.1:9477".parse().unwrap());
    assert_eq!(config.metrics, Some("0.0.0.0:9478".parse().unwrap()));
    assert_eq!(config.log.format, LogFormat::Text);
    assert_eq!(config.log.level, tracing::Level::INFO);
}

#[test]
fn every_key_can_be_said() {
    assert!(parse(ALL).is_ok(), "{:?}", parse(ALL));
}

#[test]
fn values_that_cannot_be_are_refused_in_words() {
    let name = "is no name: 1 to 127 letters, digits, '_', '.', '+' and '-', no '-' first";
    let class = |rest: &str| format!("classes: [{{name: a, vg: v, {rest}}}]\n");
    let table = [
        ("classes: []\n".to_owned(), "classes: at least one is needed".to_owned()),
        (
            "classes: [{name: a, vg: v}, {name: a, vg: w}]\n".to_owned(),
            "classes: two are named \"a\"".to_owned(),
        ),
        (
            "classes: [{name: a, vg: v}, {name: b, vg: v, whenFull: error}]\n".to_owned(),
            "classes[1]: has the pool fairlead-pool of volume group v as a has, and says other things of it: \
             createPool, overprovision, reserve and whenFull belong to a pool"
                .to_owned(),
        ),
        ("classes: [{name: a, vg: -v}]\n".to_owned(), format!("classes[0].vg: \"-v\" {name}")),
        (class("pool: a/b"), format!("classes[0].pool: \"a/b\" {name}")),
        (
            class("overprovision: 0.5"),
            "classes[0].overprovision: is 0.5: 1 (nothing is promised twice) to 100".to_owned(),
        ),
        (
            class("reserve: lots"),
            "classes[0].reserve: is \"lots\"; 0% to 90% or a size such as 10Gi are known".to_owned(),
        ),
        (
            class("whenFull: wait"),
            "classes[0].whenFull: is \"wait\"; queue and error are known".to_owned(),
        ),
        (
            format!("{LEAST}endpoint: csi.sock\n"),
            "endpoint: csi.sock is no absolute path".to_owned(),
        ),
        (
            format!("{LEAST}gc: {{grace: soon}}\n"),
            "gc.grace: \"soon\" is not a duration: a whole number with s, m, h or d, as in 72h".to_owned(),
        ),
        (
            format!("{LEAST}health: {{listen: '9477'}}\n"),
            "health.listen: \"9477\" is no address with a port, such as 127.0.0.1:9477".to_owned(),
        ),
        (
            format!("{LEAST}log: {{level: loud}}\n"),
            "log.level: is \"loud\"; trace, debug, info, warn and error are known".to_owned(),
        ),
        (
            format!("{LEAST}node: {{name: \"a\\tb\"}}\n"),
            "node.name: \"a\\tb\" is no name of a node: 1 to 192 bytes, no control characters".to_owned(),
        ),
        (
            format!("{LEAST}cluster: {{id: a b}}\n"),
            "cluster.id: \"a b\" is no id: 1 to 64 printable ASCII characters, no spaces".to_owned(),
        ),
    ];
    for (text, expected) in table {
        assert_eq!(parse(&text).unwrap_err(), expected);
    }
}

#[test]
fn node_and_cluster_have_to_be_known() {
    let nobody = |text: &str| Config::parse(text, |_| None).unwrap_err().to_string();
    assert_eq!(
        nobody(LEAST),
        "node.name: must be set here or as NODE_NAME in the environment"
    );
    assert_eq!(
        nobody(&format!("{LEAST}node: {{name: n}}\n")),
        "cluster.id: must be set here or as CLUSTER_ID in the environment"
    );
}

#[test]
fn unknown_keys_are_refused_and_named() {
    for text in [
        "colour: red\n",
        "classes: [{name: a, vg: v, colour: red}]\n",
        "log: {colour: red}\n",
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.contains("colour"), "{error}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = Config::load(Path::new("/nowhere/csi.yaml"), |_| None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read /nowhere/csi.yaml: No such file or directory (os error 2)"
    );
}

/// A file with every key of the schema, each with its default or example.
fn example(schema: &Value) -> Value {
    if let Some(properties) = schema["properties"].as_object() {
        let pairs = properties
            .iter()
            .map(|(key, schema)| (key.clone(), example(schema)));
        return Value::Object(pairs.collect::<Map<_, _>>());
    }
    if schema["type"] == "array" {
        return Value::Array(vec![example(&schema["items"])]);
    }
    let value = schema.get("default").filter(|value| **value != "");
    value.unwrap_or(&schema["examples"][0]).clone()
}

/// The keys that the parser knows where `path` leads: it names them when it meets one that it does not.
fn known(path: &[&str]) -> BTreeSet<String> {
    let mut value = serde_json::json!({"?": 0});
    for key in path.iter().rev() {
        value = if *key == "classes" {
            serde_json::json!({ *key: [value] })
        } else {
            serde_json::json!({ *key: value })
        };
    }
    let error = serde_json::from_value::<raw::Raw>(value)
        .unwrap_err()
        .to_string();
    // Keys stand between backticks, the unknown one first.
    error
        .split('`')
        .skip(3)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_schema_says_what_the_parser_takes() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let text = example(&schema).to_string();
    parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let mut objects = vec![(Vec::new(), &schema)];
    for (key, inner) in schema["properties"].as_object().unwrap() {
        let inner = if key == "classes" {
            &inner["items"]
        } else {
            inner
        };
        if inner["type"] == "object" {
            objects.push((vec![key.as_str()], inner));
        }
    }
    assert_eq!(objects.len(), 10);
    for (path, object) in objects {
        let keys: BTreeSet<String> = object["properties"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        assert_eq!(known(&path), keys, "{path:?}");
        assert_eq!(object["additionalProperties"], false, "{path:?}");
        for (key, value) in object["properties"].as_object().unwrap() {
            assert!(value["description"].is_string(), "{path:?} {key}");
        }
    }
}

#[test]
fn the_schemas_defaults_are_those_of_the_parser() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let said = parse(&example(&schema).to_string()).unwrap();
    let least = parse(LEAST).unwrap();
    assert_eq!(said.endpoint, least.endpoint);
    assert_eq!(said.run_dir, least.run_dir);
    assert_eq!(said.grace, least.grace);
    assert_eq!((said.health, said.metrics), (least.health, least.metrics));
    assert_eq!(
        (said.ephemeral, said.volumes),
        (least.ephemeral, least.volumes)
    );
    assert_eq!(
        (said.log.format, said.log.level),
        (least.log.format, least.log.level)
    );
    let class = Class {
        name: said.classes[0].name.clone(),
        vg: said.classes[0].vg.clone(),
        ..least.classes[0].clone()
    };
    assert_eq!(said.classes[0], class);
}
