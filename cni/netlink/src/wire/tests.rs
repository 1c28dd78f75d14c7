use super::{Attrs, Bytes as _, Message, Messages, Writer};

#[test]
fn messages_and_attributes_come_back_as_written() {
    let mut w = Writer::default();
    w.message(16, 1, |w| {
        w.put(&[1, 2, 3, 4]);
        w.text(3, "eth0");
        w.nest(18, |w| w.u32(1, 7));
    });
    w.message(17, 5, |w| w.u8(9, 1));
    w.stamp(1, 42, 4);
    let got: Vec<Message<'_>> = Messages(w.bytes()).collect();
    assert_eq!(got.len(), 2);
    assert_eq!((got[0].kind, got[0].flags), (16, 1));
    assert_eq!((got[1].kind, got[1].flags, got[1].sequence), (17, 5, 42));
    let attrs = Attrs::after(got[0].body, 4).unwrap();
    assert_eq!(attrs.find(3).unwrap().text(), "eth0");
    assert_eq!(
        Attrs(attrs.find(18).unwrap()).find(1).unwrap().u32_at(0),
        Some(7)
    );
    assert_eq!(w.body(1), got[1].body);
}

#[test]
fn an_attribute_longer_than_its_length_field_is_reported() {
    let mut w = Writer::default();
    w.message(16, 1, |w| w.attr(1, &vec![0; 70_000]));
    assert_eq!(w.too_long(), Some("attribute"));
}

#[test]
fn any_bytes_are_read_without_panic_or_endless_loop() {
    bolero::check!().for_each(|bytes: &[u8]| {
        for message in Messages(bytes) {
            assert!(message.body.len() <= bytes.len());
            assert!(Attrs(message.body).count() <= bytes.len() / 4 + 1);
        }
        assert!(Messages(bytes).count() <= bytes.len() / super::HEADER + 1);
    });
}

/// Attributes in attributes in attributes: bytes that get further into a reader than mere noise.
pub(crate) type Shape = Vec<(u8, Vec<(u8, Vec<(u8, Vec<u8>)>)>)>;

/// The body of a message with a fixed part and attributes of this shape.
pub(crate) fn body(header: &[u8], shape: &Shape) -> Vec<u8> {
    // The kernel's numbers of attributes end well below this.
    let number = |kind: &u8| u16::from(kind % 64);
    let mut w = Writer::default();
    w.put(header);
    for (kind, inner) in shape {
        w.nest(number(kind), |w| {
            for (kind, inner) in inner {
                w.nest(number(kind), |w| {
                    for (kind, value) in inner {
                        w.attr(number(kind), value);
                    }
                });
            }
        });
    }
    w.bytes().to_vec()
}
