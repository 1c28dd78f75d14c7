use super::*;

/// A disk as `pvcreate` and one change leave it.
fn disk(text: &[u8], offset: u64, area: u64) -> Vec<u8> {
    let mut disk = vec![0; 4096 + usize::try_from(area).expect("small")];
    let sector = &mut disk[512..1024];
    sector[..8].copy_from_slice(b"LABELONE");
    sector[8..16].copy_from_slice(&1_u64.to_le_bytes());
    sector[20..24].copy_from_slice(&32_u32.to_le_bytes());
    sector[24..32].copy_from_slice(b"LVM2 001");
    sector[32..64].copy_from_slice(b"abcdefghijklmnopqrstuvwxyz012345");
    sector[64..72].copy_from_slice(&(1_u64 << 30).to_le_bytes());
    // One data area, its end, one metadata area, its end.
    for (at, value) in [(72, 1 << 20), (80, 0), (104, 4096), (112, area)] {
        sector[at..at + 8].copy_from_slice(&u64::to_le_bytes(value));
    }
    let sum = checksum(&[&sector[20..]]);
    sector[16..20].copy_from_slice(&sum.to_le_bytes());
    let header = &mut disk[4096..4608];
    header[4..20].copy_from_slice(MAGIC);
    header[20..24].copy_from_slice(&1_u32.to_le_bytes());
    for (at, value) in [
        (24, 4096),
        (32, area),
        (40, offset),
        (48, text.len() as u64),
    ] {
        header[at..at + 8].copy_from_slice(&u64::to_le_bytes(value));
    }
    header[56..60].copy_from_slice(&checksum(&[text]).to_le_bytes());
    let sum = checksum(&[&header[4..]]);
    header[..4].copy_from_slice(&sum.to_le_bytes());
    for (index, byte) in text.iter().enumerate() {
        let mut at = offset + index as u64;
        if at >= area {
            at = at - area + 512;
        }
        disk[4096 + usize::try_from(at).expect("small")] = *byte;
    }
    disk
}

fn read(disk: &[u8]) -> Result<Vec<u8>, LabelError> {
    let label = label(disk)?.expect("a label");
    let area = label.areas[0].clone();
    let start = usize::try_from(area.start).expect("small");
    let header = area_header(&disk[start..], area.start)?;
    let place = header.text.expect("a text");
    let (one, two) = header.pieces(place);
    let mut bytes = Vec::new();
    for piece in std::iter::once(one).chain(two) {
        let at = |offset| start + usize::try_from(offset).expect("small");
        bytes.extend(&disk[at(piece.start)..at(piece.end)]);
    }
    Ok(text(place, &bytes)?.to_vec())
}

#[test]
fn a_label_tells_the_id_the_size_and_the_metadata_areas() {
    let disk = disk(b"x {}\n\0", 512, 8192);
    let label = label(&disk).expect("sound").expect("there");
    assert_eq!(label.pv, "abcdefghijklmnopqrstuvwxyz012345");
    assert_eq!(label.device_size, 1 << 30);
    assert_eq!(label.areas.as_slice(), std::slice::from_ref(&(4096..12288)));
    assert_eq!(super::label(&[0; 8192]), Ok(None));
}

#[test]
fn a_text_is_read_from_wherever_it_starts_in_the_ring() {
    bolero::check!()
        .with_type::<(Vec<u8>, u16)>()
        .for_each(|(bytes, shift)| {
            let mut text = bytes.clone();
            text.truncate(3000);
            text.extend(b"end");
            let offset = 512 + u64::from(*shift) % (8192 - 512);
            let disk = disk(&text, offset, 8192);
            assert_eq!(read(&disk).as_deref(), Ok(text.as_slice()));
        });
}

#[test]
fn any_flipped_bit_is_noticed() {
    let sound = disk(b"some text of metadata\0", 8180, 8192);
    for at in (512..1024)
        .chain(4096..4608)
        .chain(4096 + 8180..4096 + 8192)
        .chain(4608..4618)
    {
        // The name of the label and its sector decide whether it is one; its checksum starts after them.
        if (512..528).contains(&at) {
            continue;
        }
        let mut broken = sound.clone();
        broken[at] ^= 0x10;
        let error = read(&broken).expect_err("noticed");
        assert!(
            matches!(error, LabelError::Checksum { .. }),
            "byte {at}: {error}"
        );
    }
    let mut broken = sound;
    broken[600] ^= 1;
    let error = label(&broken).expect_err("noticed");
    assert_eq!(
        error.to_string(),
        "the checksum of the label does not match"
    );
}

#[test]
fn places_outside_of_the_area_are_refused() {
    for (offset, size) in [(100, 10_usize), (9000, 10), (512, 7681)] {
        let header = disk(&vec![b'x'; size.min(7680)], 512, 8192)[4096..4608].to_vec();
        let mut header = header;
        header[40..48].copy_from_slice(&u64::to_le_bytes(offset));
        header[48..56].copy_from_slice(&(size as u64).to_le_bytes());
        let sum = checksum(&[&header[4..]]);
        header[..4].copy_from_slice(&sum.to_le_bytes());
        let error = area_header(&header, 4096).expect_err("outside");
        assert_eq!(
            error.to_string(),
            "the header of the metadata area points outside of the disk or of its area"
        );
    }
}

#[test]
fn ignored_and_empty_areas_have_no_text() {
    let mut header = disk(b"x", 512, 8192)[4096..4608].to_vec();
    header[60] = 1;
    let sum = checksum(&[&header[4..]]);
    header[..4].copy_from_slice(&sum.to_le_bytes());
    let ignored = area_header(&header, 4096).expect("sound");
    assert!(ignored.ignored && ignored.text.is_none());
    assert_eq!(ignored.room(), 3840);
}

#[test]
fn no_bytes_break_the_readers() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let _ = (label(bytes), area_header(bytes, 4096));
    });
}
