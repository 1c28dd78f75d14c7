//! Pages of lists: a token says after which entry the next page starts.
//!
//! A token is the id of the last entry of the page before, so that entries that come and go between two
//! pages neither repeat nor hide others.

/// A token that no page of this list ended with: `ABORTED` by the specification.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// Not a token.
    #[error(
        "starting_token {token:?} is not one that this list gave out: start again without a token"
    )]
    Token {
        /// The refused token.
        token: String,
    },
    /// `INVALID_ARGUMENT`.
    #[error("max_entries {number} is negative: 0 (all) or more is allowed")]
    Negative {
        /// The refused number.
        number: i32,
    },
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries.
    pub entries: Vec<T>,
    /// Where the next page starts; empty at the end.
    pub next: String,
}

/// Cuts a page out of `entries`, which are sorted by `key`. Tokens are keys as they print.
///
/// # Errors
/// A token that is no key, or a negative number of entries.
pub fn cut<T, K>(
    entries: impl IntoIterator<Item = T>,
    key: impl Fn(&T) -> K,
    token: &str,
    most: i32,
) -> Result<Page<T>, PageError>
where
    K: Ord + std::str::FromStr + std::fmt::Display,
{
    let most = usize::try_from(most).map_err(|_| PageError::Negative { number: most })?;
    let after: Option<K> = if token.is_empty() {
        None
    } else {
        let parsed = token.parse().map_err(|_| PageError::Token {
            token: token.to_owned(),
        })?;
        Some(parsed)
    };
    let mut rest = entries
        .into_iter()
        .filter(|entry| after.as_ref().is_none_or(|after| key(entry) > *after))
        .peekable();
    let most = if most == 0 { usize::MAX } else { most };
    let entries: Vec<_> = rest.by_ref().take(most).collect();
    let next = match (rest.peek(), entries.last()) {
        (Some(_), Some(last)) => key(last).to_string(),
        _ => String::new(),
    };
    Ok(Page { entries, next })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_bad_token_or_number_is_refused_in_words() {
        let cut = |token, most| {
            cut([1_u32], |entry| *entry, token, most)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            [cut("x", 0), cut("", -1)],
            [
                "starting_token \"x\" is not one that this list gave out: start again without a token",
                "max_entries -1 is negative: 0 (all) or more is allowed",
            ]
        );
    }

    proptest! {
        #[test]
        fn pages_are_the_list_and_an_entry_that_goes_hides_no_other(
            entries in prop::collection::btree_set(any::<u32>(), 0..50),
            most in 1_i32..10,
            gone in any::<prop::sample::Index>(),
        ) {
            let gone = (!entries.is_empty()).then(|| gone.index(entries.len())).and_then(|index| entries.iter().nth(index).copied());
            let mut seen = Vec::new();
            let mut token = String::new();
            let mut left = entries.clone();
            loop {
                let page = cut(left.iter().copied(), |entry| *entry, &token, most).unwrap();
                prop_assert!(page.entries.len() <= usize::try_from(most).unwrap());
                seen.extend(page.entries);
                if page.next.is_empty() {
                    break;
                }
                token = page.next;
                if let Some(gone) = gone {
                    left.remove(&gone);
                }
            }
            seen.retain(|entry| Some(*entry) != gone);
            let expected: Vec<_> = entries.into_iter().filter(|entry| Some(*entry) != gone).collect();
            prop_assert_eq!(seen, expected);
        }
    }
}
