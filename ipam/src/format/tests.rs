use super::*;

fn detail() -> Detail {
    Detail {
        seq: 7,
        address: "fd00::9".parse().unwrap(),
        set: 1,
        since: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        owner: Owner::new(&"c".repeat(192), "interface-of-15").unwrap(),
        netns: Some(Netns {
            path: "/p".repeat(120).into(),
            dev: 4,
            inode: u64::MAX,
        }),
    }
}

fn area(first: &Header, second: &Header) -> [u8; 2 * HEADER_SIZE] {
    let mut area = [0; 2 * HEADER_SIZE];
    area[..HEADER_SIZE].copy_from_slice(&first.encode());
    area[HEADER_SIZE..].copy_from_slice(&second.encode());
    area
}

#[test]
fn the_largest_detail_fits_and_comes_back() {
    let detail = detail();
    assert_eq!(Detail::decode(&detail.encode()), Some(detail));
}

#[test]
fn a_detail_without_namespace_comes_back_without_one() {
    let detail = Detail {
        netns: None,
        ..detail()
    };
    assert_eq!(Detail::decode(&detail.encode()), Some(detail));
}

#[test]
fn any_flipped_bit_of_an_entry_makes_it_empty() {
    let tag = OwnerTag::of(&detail().owner);
    let address = "10.0.0.9".parse().unwrap();
    let entry = Entry::new(State::Held, tag, 3, address);
    assert_eq!(Entry::read(entry.bytes()), entry);
    assert_eq!(
        (entry.state(), entry.tag(), entry.seq()),
        (State::Held, tag, 3)
    );
    assert_eq!(entry.address(), address);
    for bit in 0..ENTRY_SIZE * 8 {
        let mut torn = *entry.bytes();
        torn[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Entry::read(&torn), Entry::EMPTY, "bit {bit}");
    }
    assert_eq!(Entry::EMPTY.state(), State::Empty);
}

#[test]
fn the_newer_valid_header_counts() {
    let old = Header {
        seq: 4,
        imported: true,
        ..Header::new(BootId([1; 16]))
    };
    let mut new = Header {
        seq: 5,
        ..old.clone()
    };
    new.last[15] = Some("10.0.0.1".parse().unwrap());
    assert_ne!(old.offset(), new.offset());
    assert_eq!(Header::decode(&area(&old, &new)), Ok(new.clone()));
    let mut torn = area(&old, &new);
    torn[HEADER_SIZE + 100] ^= 1;
    assert_eq!(Header::decode(&torn), Ok(old));
}

#[test]
fn headers_that_cannot_be_used_say_why() {
    let header = Header::new(BootId([1; 16]));
    assert_eq!(
        Header::decode(&[0; 2 * HEADER_SIZE]),
        Err(HeaderError::NotOurs)
    );
    let mut torn = area(&header, &header);
    torn[50] ^= 1;
    torn[HEADER_SIZE + 50] ^= 1;
    assert_eq!(Header::decode(&torn), Err(HeaderError::Checksum));
    let mut newer = header.encode();
    newer[12] = 2;
    let crc = checksum(&newer, 8).to_le_bytes();
    newer[8..12].copy_from_slice(&crc);
    let mut area = [0; 2 * HEADER_SIZE];
    area[..HEADER_SIZE].copy_from_slice(&newer);
    assert_eq!(Header::decode(&area), Err(HeaderError::Version(2)));
}

#[test]
fn slots_lie_next_to_each_other_and_do_not_overlap() {
    assert_eq!(entry_offset(0), HEADER_AREA as u64);
    assert_eq!(entry_offset(127) + ENTRY_SIZE as u64, detail_offset(0));
    assert_eq!(detail_offset(127) + DETAIL_SIZE as u64, entry_offset(128));
    assert_eq!(slots_in(entry_offset(256)), 256);
    assert_eq!((slots_in(entry_offset(256) - 1), slots_in(0)), (128, 0));
}

#[test]
fn decoders_take_any_bytes() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let mut detail = [0; DETAIL_SIZE];
        let length = bytes.len().min(DETAIL_SIZE);
        detail[..length].copy_from_slice(&bytes[..length]);
        let _ = Detail::decode(&detail);
        let crc = checksum(&detail, 0).to_le_bytes();
        detail[..4].copy_from_slice(&crc);
        if let Some(decoded) = Detail::decode(&detail) {
            assert_eq!(Detail::decode(&decoded.encode()), Some(decoded));
        }
    });
}
