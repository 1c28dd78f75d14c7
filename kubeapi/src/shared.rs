//! Values that many objects have in common, kept once: names, label sets, named ports.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use fairlead_netpol_model::cluster::{Labels, NamedPort};

/// Few values are not worth a sweep.
const FEW: usize = 1024;

/// Hands out one copy of equal values. What nobody but it holds any more is forgotten from time to time.
#[derive(Debug, Default)]
pub struct Shared {
    texts: Pool<Arc<str>>,
    labels: Pool<Labels>,
    ports: Pool<Arc<[NamedPort]>>,
}

#[derive(Debug)]
struct Pool<T> {
    known: HashSet<T>,
    /// How many there may be before the next sweep.
    limit: usize,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self {
            known: HashSet::new(),
            limit: FEW,
        }
    }
}

impl<T: Hash + Eq + Clone> Pool<T> {
    fn share(&mut self, value: T, is_used: impl Fn(&T) -> bool) -> T {
        if let Some(known) = self.known.get(&value) {
            return known.clone();
        }
        if self.known.len() >= self.limit {
            self.known.retain(is_used);
            self.limit = FEW.max(self.known.len() * 2);
        }
        self.known.insert(value.clone());
        value
    }
}

impl Shared {
    /// The copy of `text`.
    pub fn text(&mut self, text: &str) -> Arc<str> {
        match self.texts.known.get(text) {
            Some(known) => Arc::clone(known),
            None => self
                .texts
                .share(text.into(), |text| Arc::strong_count(text) > 1),
        }
    }

    /// The copy of these labels.
    pub fn labels<'a>(
        &mut self,
        labels: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) -> Labels {
        let labels: Labels = labels
            .into_iter()
            .map(|(key, value)| (self.text(key), self.text(value)))
            .collect();
        self.labels.share(labels, Labels::is_shared)
    }

    /// The copy of `ports`.
    pub fn ports(&mut self, ports: Vec<NamedPort>) -> Arc<[NamedPort]> {
        self.ports
            .share(ports.into(), |ports| Arc::strong_count(ports) > 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one() {
        let mut shared = Shared::default();
        let labels = std::collections::BTreeMap::from([("app".to_owned(), "web".to_owned())]);
        let (a, b) = (shared.labels(&labels), shared.labels(&labels));
        assert!(a.is_shared() && a == b);
        assert!(Arc::ptr_eq(&shared.text("x"), &shared.text("x")));
    }

    #[test]
    fn what_nobody_holds_is_forgotten() {
        let mut shared = Shared::default();
        let kept = shared.text("kept");
        for n in 0..10 * FEW {
            shared.text(&n.to_string());
        }
        assert!(shared.texts.known.len() <= FEW);
        assert!(Arc::ptr_eq(&kept, &shared.text("kept")));
    }
}
