//! Says in words what a message of a transaction is about.

use super::chain::{self, Chain};
use super::rule::Rule;
use super::set::Set;
use super::table::name_of;
use super::{HEADER, element, msg, table};
use crate::error::Operation;
use crate::wire::{Attrs, Bytes as _, Writer};

/// The operation and the object of message `index`.
pub(super) fn describe(request: &Writer, index: usize) -> (Operation, String) {
    let kind = request.kind(index);
    let body = request.body(index);
    let operation = match kind {
        msg::NEW_TABLE | msg::NEW_CHAIN | msg::NEW_RULE | msg::NEW_SET | msg::NEW_ELEMENTS => {
            Operation::Create
        }
        msg::DELETE_TABLE
        | msg::DELETE_CHAIN
        | msg::DELETE_RULE
        | msg::DELETE_SET
        | msg::DELETE_ELEMENTS => Operation::Delete,
        _ => Operation::Commit,
    };
    let named = match kind {
        msg::NEW_TABLE | msg::DELETE_TABLE => named(body, table::attr::NAME, None, "table"),
        msg::NEW_CHAIN => Chain::read(body).map(|chain| chain.to_string()),
        msg::DELETE_CHAIN => named(body, chain::attr::TABLE, Some(chain::attr::NAME), "chain"),
        msg::NEW_SET => Set::read(body).map(|set| set.to_string()),
        msg::DELETE_SET => named(
            body,
            super::set::attr::TABLE,
            Some(super::set::attr::NAME),
            "set",
        ),
        msg::NEW_RULE => Rule::read(body).map(|rule| rule.to_string()),
        msg::DELETE_RULE => rules(body),
        msg::NEW_ELEMENTS | msg::DELETE_ELEMENTS => elements(body),
        _ => None,
    };
    (
        operation,
        named.unwrap_or_else(|| "nftables transaction".into()),
    )
}

fn named(body: &[u8], table: u16, name: Option<u16>, what: &str) -> Option<String> {
    let attrs = Attrs::after(body, HEADER)?;
    let table = name_of(body, attrs.find(table)?)?;
    let name = name
        .and_then(|name| attrs.find(name))
        .map(|name| format!(" {}", name.text()));
    Some(format!("nft {what} {table}{}", name.unwrap_or_default()))
}

fn rules(body: &[u8]) -> Option<String> {
    match Rule::read(body) {
        Some(rule) if rule.handle.is_some() => Some(rule.to_string()),
        Some(rule) => Some(format!("nft rules of chain {} {}", rule.table, rule.chain)),
        None => named(body, super::rule::attr::TABLE, None, "rules of table"),
    }
}

fn elements(body: &[u8]) -> Option<String> {
    let set = named(body, element::attr::TABLE, Some(element::attr::SET), "set")?;
    let keys = element::keys(body)?;
    Some(match keys.as_slice() {
        [] => format!("all elements of {set}"),
        [key] => format!("element {key:?} of {set}"),
        [first, .., last] => format!("elements {first:?} to {last:?} of {set}"),
    })
}
