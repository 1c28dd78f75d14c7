//! The form that a tag keeps: `key=value` with keys of one letter, `:` between, defaults left out.

use std::collections::BTreeMap;

use super::{Encryption, Layout, ParameterError, Parameters, Wipe, parse};
use crate::{quantity, tag};

/// The letters of the keys, in the order of the text. A letter once given away is never used again:
/// it is on disks.
const LETTERS: [(char, &str); 14] = [
    ('c', "class"),
    ('g', "vg"),
    ('t', "thin"),
    ('p', "pool"),
    ('r', "raid"),
    ('s', "stripes"),
    ('i', "integrity"),
    ('k', "chunk"),
    ('q', "whenFull"),
    ('v', "reserve"),
    ('f', "fs"),
    ('m', "mkfsOptions"),
    ('e', "encryption"),
    ('w', "wipe"),
];

pub(super) fn write(parameters: &Parameters) -> String {
    let words = words(parameters);
    let mut text = String::new();
    for (letter, key) in LETTERS {
        let Some(value) = words.get(key) else {
            continue;
        };
        if !text.is_empty() {
            text.push(':');
        }
        text.push(letter);
        text.push('=');
        text.push_str(&tag::encode(value).replace(':', "#3a"));
    }
    text
}

pub(super) fn read(text: &str) -> Result<Parameters, ParameterError> {
    let mut words = BTreeMap::new();
    for part in text.split(':').filter(|part| !part.is_empty()) {
        let known = part.split_once('=').and_then(|(letter, value)| {
            let (_, key) = LETTERS
                .iter()
                .find(|(known, _)| letter.chars().eq([*known]))?;
            Some((*key, tag::decode(value).ok()?))
        });
        let Some((key, value)) = known else {
            return parse::refused("fl.p", text, "not what this version of the driver writes");
        };
        words.insert(key.to_owned(), value);
    }
    Parameters::parse(&words)
}

/// The parameters as a class would write them.
fn words(parameters: &Parameters) -> BTreeMap<&'static str, String> {
    let mut words = BTreeMap::new();
    let mut set = |key, value: Option<String>| {
        if let Some(value) = value {
            words.insert(key, value);
        }
    };
    set("class", parameters.class.clone());
    set("vg", parameters.vg.clone());
    set("fs", parameters.fs.map(|fs| fs.to_string()));
    let options = &parameters.mkfs_options;
    set(
        "mkfsOptions",
        (!options.is_empty()).then(|| options.join(" ")),
    );
    set(
        "encryption",
        (parameters.encryption == Encryption::Luks2).then(|| "luks2".to_owned()),
    );
    set(
        "wipe",
        (parameters.wipe == Wipe::Delete).then(|| "delete".to_owned()),
    );
    let on = |integrity: &bool| integrity.then(|| "true".to_owned());
    match &parameters.layout {
        Layout::Thin {
            pool,
            chunk,
            when_full,
            reserve,
        } => {
            set("pool", pool.clone());
            set("chunk", chunk.map(quantity::short));
            set("whenFull", when_full.map(|when| when.as_str().to_owned()));
            set("reserve", reserve.map(|reserve| reserve.to_string()));
        }
        Layout::Linear => set("thin", Some("false".to_owned())),
        Layout::Striped { stripes } => set("stripes", Some(stripes.to_string())),
        Layout::Raid1 { integrity } => {
            set("raid", Some("raid1".to_owned()));
            set("integrity", on(integrity));
        }
        Layout::Raid5 { stripes, integrity } => {
            set("raid", Some("raid5".to_owned()));
            set("stripes", Some(stripes.to_string()));
            set("integrity", on(integrity));
        }
    }
    words
}
