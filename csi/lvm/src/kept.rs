//! The logical volumes of a text, kept for the next one. Each change of a group writes its whole text anew; what stands in
//! it word for word as before is not read again, so that a change costs the same beside 10 volumes and beside thousands.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem;
use std::sync::Arc;

use crate::metadata::{MetadataError, segments, volume};
use crate::text::{Place, Section};
use crate::{Layout, Lv, Pv};

/// What was read of a text.
#[derive(Debug)]
pub(crate) struct Kept {
    text: Vec<u8>,
    /// Names of the physical volumes: what lies on other names is a volume.
    pvs: BTreeSet<String>,
    volumes: Vec<(Place, Entry)>,
}

/// A volume as it stands in the text, without what others say of it.
#[derive(Debug, Clone)]
enum Entry {
    Volume(Arc<Lv>),
    /// A hidden volume that tells which one is a copy-on-write snapshot of which.
    Snapshot {
        store: String,
        origin: String,
    },
    /// A hidden volume that tells nothing.
    Nothing,
}

impl Kept {
    /// Reads the volumes at these places.
    pub(crate) fn read(
        text: Vec<u8>,
        places: Vec<Place>,
        pvs: &[Pv],
        before: Option<&Self>,
    ) -> Result<Self, MetadataError> {
        let pvs: BTreeSet<String> = pvs.iter().map(|pv| pv.name.clone()).collect();
        let before = before.filter(|before| before.pvs == pvs);
        let known: HashMap<&[u8], &(Place, Entry)> = before
            .into_iter()
            .flat_map(|before| before.volumes.iter().map(|it| (before.name(&it.0), it)))
            .collect();
        let mut volumes = Vec::with_capacity(places.len());
        for place in places {
            let (name, content) = (&text[place.name.clone()], &text[place.content.clone()]);
            let same = known
                .get(name)
                .filter(|(then, _)| before.is_some_and(|it| it.content(then) == content));
            let entry = match same {
                Some((_, entry)) => entry.clone(),
                None => entry(&String::from_utf8_lossy(name), content, &pvs)?,
            };
            volumes.push((place, entry));
        }
        drop(known);
        Ok(Self { text, pvs, volumes })
    }

    fn name(&self, place: &Place) -> &[u8] {
        &self.text[place.name.clone()]
    }

    fn content(&self, place: &Place) -> &[u8] {
        &self.text[place.content.clone()]
    }

    /// All volumes; those that tell of copy-on-write snapshots are not listed.
    pub(crate) fn volumes(&self) -> Vec<Arc<Lv>> {
        let mut snapshots = BTreeMap::new();
        let mut lvs = Vec::with_capacity(self.volumes.len());
        for (_, entry) in &self.volumes {
            match entry {
                Entry::Volume(lv) => lvs.push(Arc::clone(lv)),
                Entry::Snapshot { store, origin } => {
                    snapshots.insert(store.as_str(), origin);
                }
                Entry::Nothing => {}
            }
        }
        for lv in &mut lvs {
            if let Some(origin) = snapshots.get(lv.name.as_str()) {
                let lv = Arc::make_mut(lv);
                // LVM flags the hidden volume that tells of it instead.
                lv.visible = true;
                lv.layout = Layout::CowSnapshot {
                    origin: (*origin).clone(),
                };
            }
        }
        lvs
    }
}

fn entry(name: &str, content: &[u8], pvs: &BTreeSet<String>) -> Result<Entry, MetadataError> {
    let section = Section::parse(content)?;
    let segments = segments(&section);
    let first = segments.first().copied();
    let kind = first.and_then(|segment| segment.text("type"));
    if kind.and_then(|kind| kind.split('+').next()) == Some("snapshot") {
        let pair = first.and_then(|segment| {
            let store = segment
                .text("cow_store")
                .or_else(|| segment.text("merging_store"))?;
            Some((store, segment.text("origin")?))
        });
        return Ok(
            pair.map_or(Entry::Nothing, |(store, origin)| Entry::Snapshot {
                store: store.to_owned(),
                origin: origin.to_owned(),
            }),
        );
    }
    let mut lv = volume(name, &section, &segments)?;
    let (areas, parts): (Vec<_>, Vec<_>) = mem::take(&mut lv.areas)
        .into_iter()
        .partition(|(on, _)| pvs.contains(on));
    lv.areas = areas;
    lv.parts.extend(parts.into_iter().map(|(on, _)| on));
    Ok(Entry::Volume(Arc::new(lv)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::describe;

    const GROUP: &str = r#"id = "aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa"
seqno = 1
extent_size = 8192
physical_volumes {
pv0 { id = "p" device = "/dev/sda" status = ["ALLOCATABLE"] pe_start = 2048 pe_count = 100 }
}
"#;

    fn volume(name: &str, id: char, start: u64) -> String {
        format!(
            "{name} {{ id = \"{}\" status = [\"READ\", \"WRITE\", \"VISIBLE\"] segment1 {{ extent_count = 10 \
             type = \"striped\" stripe_count = 1 stripes = [\"pv0\", {start}] }} }}\n",
            id.to_string().repeat(32)
        )
    }

    fn snapshot(origin: &str, store: &str) -> String {
        format!(
            "snapshot0 {{ id = \"{}\" segment1 {{ extent_count = 10 type = \"snapshot\" origin = \"{origin}\" \
             cow_store = \"{store}\" }} }}\n",
            "s".repeat(32)
        )
    }

    fn text(group: &str, volumes: &[String]) -> Vec<u8> {
        let volumes = volumes.concat();
        format!("vg {{\n{group}logical_volumes {{\n{volumes}}}\n}}\n").into_bytes()
    }

    #[test]
    fn a_text_says_the_same_with_and_without_the_last_one() {
        let (a, b, c) = (
            volume("a", 'a', 0),
            volume("b", 'b', 10),
            volume("c", 'c', 20),
        );
        let grown = a.replace("extent_count = 10", "extent_count = 30");
        let texts = [
            text(GROUP, &[a.clone(), b.clone()]),
            text(GROUP, &[a.clone(), b.clone(), c.clone()]),
            text(
                GROUP,
                &[a.clone(), b.clone(), snapshot("a", "b"), c.clone()],
            ),
            text(GROUP, &[grown, b.clone(), c.clone()]),
            text(GROUP, &[c.clone(), a.clone()]),
            text(&GROUP.replace("pv0", "pv1"), &[a, c]),
        ];
        let mut before: Option<Kept> = None;
        for text in texts {
            let alone = describe(text.clone(), None).expect("alone");
            let after = describe(text, before.as_ref()).expect("after another");
            assert_eq!(after.vg, alone.vg);
            before = Some(after.kept);
        }
    }

    #[test]
    fn what_stays_the_same_is_not_read_again() {
        let (a, b) = (volume("a", 'a', 0), volume("b", 'b', 10));
        let first = describe(text(GROUP, std::slice::from_ref(&a)), None).expect("reads");
        let second = describe(text(GROUP, &[b, a]), Some(&first.kept)).expect("reads");
        assert!(Arc::ptr_eq(&first.vg.lvs[0], &second.vg.lvs[1]));
    }
}
