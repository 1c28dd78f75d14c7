use super::*;

#[test]
fn metadata_parses_into_sections_numbers_strings_and_lists() {
    let text = br#"vg {
id = "a-b" # a comment
seqno = 7
status = ["READ", "WRITE"]
none = []
lvs { one { areas = ["pv0", 12] } }
}
description = "say \"hi\" \\ #x"
"#;
    let section = Section::parse(text).expect("parses");
    let vg = section.section("vg").expect("section");
    assert_eq!(vg.text("id"), Some("a-b"));
    assert_eq!(vg.number("seqno"), Some(7));
    assert_eq!(vg.texts("status"), ["READ", "WRITE"]);
    assert_eq!(vg.get("none"), Some(&Value::List(vec![])));
    let one = vg
        .section("lvs")
        .and_then(|lvs| lvs.section("one"))
        .expect("one");
    assert_eq!(
        one.get("areas"),
        Some(&Value::List(vec![
            Value::Text("pv0".into()),
            Value::Number(12)
        ]))
    );
    assert_eq!(section.text("description"), Some(r#"say "hi" \ #x"#));
}

#[test]
fn keys_with_a_path_and_keys_in_sections_are_the_same() {
    let both =
        Section::parse(b"global/locking_dir = '/x'\ndevices { dir=\"/dev\" }").expect("parses");
    assert_eq!(
        both.at("global", "locking_dir"),
        Some(&Value::Text("/x".into()))
    );
    assert_eq!(both.at("devices", "dir"), Some(&Value::Text("/dev".into())));
}

#[test]
fn setting_a_key_replaces_all_older_ones() {
    let mut config = Section::parse(b"a/b = 1\na { b = 2 }\na { b = 3 }").expect("parses");
    config.set("a", "b", Value::Number(4));
    let again = Section::parse(config.to_string().as_bytes()).expect("parses");
    assert_eq!(again.at("a", "b"), Some(&Value::Number(4)));
    assert_eq!(again.to_string().matches('4').count(), 1);
}

#[test]
fn broken_texts_are_refused_with_the_place() {
    for (text, words) in [
        ("a {", "byte 3: the text ends inside of a section"),
        ("a = [1,", "byte 7: the text ends inside of a list"),
        ("a = \"x", "byte 6: the text ends inside of a string"),
        ("a b", "byte 2: = or { must follow a name"),
        ("a =", "byte 3: a value must stand here"),
        ("}", "byte 0: a name must stand here"),
    ] {
        let error = Section::parse(text.as_bytes()).expect_err(text);
        assert_eq!(error.to_string(), words);
    }
    let deep = "a {".repeat(100_000);
    let error = Section::parse(deep.as_bytes()).expect_err("too deep");
    assert!(error.to_string().ends_with("sections are nested too deep"));
}

#[test]
fn any_bytes_are_read_or_refused_and_what_is_read_survives_printing() {
    bolero::check!().for_each(|bytes: &[u8]| {
        if let Ok(section) = Section::parse(bytes) {
            let mut texts = Vec::new();
            collect(&section, &mut texts);
            // Names that only quotes can write do not occur in LVM's own texts.
            if texts.iter().all(|name| plain(name)) {
                let printed = section.to_string();
                assert_eq!(Section::parse(printed.as_bytes()), Ok(section));
            }
        }
    });
}

#[test]
fn what_is_left_out_is_where_it_is_told_to_be() {
    let text = br#"vg { id = "x" # {
lvs {
one { tags = ["}", "a\"}b"] # } "
seg { n = 1 } }
two {}
} more { lvs { three { } } } } lvs { n = 1 }"#;
    let (around, places) = Section::parse_around(text, "lvs").expect("parses");
    let mut whole = Section::parse(text).expect("parses");
    let told: Vec<_> = places
        .iter()
        .map(|place| {
            let name = std::str::from_utf8(&text[place.name.clone()]).expect("text");
            let content = Section::parse(&text[place.content.clone()]).expect("parses");
            (name.to_owned(), content)
        })
        .collect();
    let lvs = &mut whole.sections[0].1.sections[0].1;
    assert_eq!(told, std::mem::take(lvs).sections);
    assert_eq!(around, whole);
}

#[test]
fn any_bytes_are_read_with_and_without_what_is_left_out() {
    bolero::check!().for_each(|bytes: &[u8]| {
        if let Ok((_, places)) = Section::parse_around(bytes, "a") {
            for place in places {
                let _ = Section::parse(&bytes[place.content]);
            }
        }
    });
}

fn plain(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"={}[],\"#'".contains(&byte))
}

fn collect(section: &Section, names: &mut Vec<String>) {
    names.extend(section.keys.iter().map(|(name, _)| name.clone()));
    for (name, inner) in &section.sections {
        names.push(name.clone());
        collect(inner, names);
    }
}
