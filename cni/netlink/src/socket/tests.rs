#![expect(
    unsafe_code,
    reason = "a socket whose other end is a test takes the place of the kernel's"
)]

use std::os::fd::{AsRawFd as _, FromRawFd as _, IntoRawFd as _, OwnedFd};
use std::thread::JoinHandle;

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};

use super::*;
use crate::wire::control;

#[test]
fn an_acknowledgement_is_read_with_and_without_the_request_in_it() {
    for capped in [true, false] {
        let mut w = Writer::default();
        let flags = flag::ACK_TLVS | if capped { flag::CAPPED } else { 0 };
        w.message(control::ERROR, flags, |w| {
            w.put(&(-22_i32).to_ne_bytes());
            let mut request = Writer::default();
            request.message(16, 1, |w| w.put(&[7; 16]));
            w.put(if capped {
                &request.bytes()[..16]
            } else {
                request.bytes()
            });
            w.text(1, "Invalid header");
            w.u32(2, 20);
        });
        let message = Messages(w.bytes()).next().unwrap();
        assert_eq!(
            answer(message),
            Some(Answer::Refused(Refusal {
                errno: Errno::EINVAL,
                message: Some("Invalid header".into()),
                offset: Some(20),
            }))
        );
    }
}

#[test]
fn any_answer_is_read_without_panic() {
    bolero::check!().for_each(|bytes: &[u8]| {
        Messages(bytes).for_each(|message| drop(answer(message)));
    });
}

/// Plays the kernel: to each request it sends the next script's datagrams, made for the number of the
/// request's first message.
fn play<const N: usize>(scripts: [fn(u32) -> Vec<Writer>; N]) -> (Socket, JoinHandle<()>) {
    let flags = SockFlag::SOCK_CLOEXEC;
    let (ours, theirs): (OwnedFd, OwnedFd) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap();
    let kernel = std::thread::spawn(move || {
        for script in scripts {
            let mut request = vec![0; 64 * 1024];
            recv(theirs.as_raw_fd(), &mut request, MsgFlags::empty()).unwrap();
            let sequence = Messages(&request).next().unwrap().sequence;
            for datagram in script(sequence) {
                send(theirs.as_raw_fd(), datagram.bytes(), MsgFlags::empty()).unwrap();
            }
        }
    });
    // SAFETY: the descriptor is open and given away.
    let raw = unsafe { RawSocket::from_raw_fd(ours.into_raw_fd()) };
    (
        Socket {
            raw,
            sequence: 0,
            buffer: Vec::new(),
        },
        kernel,
    )
}

/// A datagram of messages with type, flags, number and one word.
fn datagram(messages: &[(u16, u16, u32, i32)]) -> Writer {
    let mut w = Writer::default();
    for (index, (kind, flags, sequence, word)) in messages.iter().enumerate() {
        w.message(*kind, *flags, |w| w.put(&word.to_ne_bytes()));
        w.stamp(index, *sequence, 0);
    }
    w
}

/// A request of `count` messages.
fn request(count: usize) -> Writer {
    let mut w = Writer::default();
    (0..count).for_each(|_| w.message(100, 0, |w| w.put(&[0; 4])));
    w
}

fn words(socket: &mut Socket) -> Result<Vec<u32>, NetlinkError> {
    let take = |message: Message<'_>| crate::wire::Bytes::u32_at(message.body, 0);
    socket.dump(&mut request(1), &|| "things".into(), take)
}

const ITEM: u16 = 200;

#[test]
fn a_list_that_changed_while_it_was_read_is_read_again() {
    let changed = |n| {
        vec![
            datagram(&[(ITEM, 0, n, 1), (ITEM, flag::DUMP_INTR, n, 2)]),
            datagram(&[(control::DONE, flag::DUMP_INTR, n, 0)]),
        ]
    };
    let interrupted = |n| vec![datagram(&[(ITEM, 0, n, 3), (control::DONE, 0, n, -4)])];
    let steady = |n| {
        // An answer to an earlier request is no answer to this one.
        vec![
            datagram(&[(ITEM, 0, n - 1, 9), (ITEM, 0, n, 4)]),
            datagram(&[(control::DONE, 0, n, 0)]),
        ]
    };
    let (mut socket, kernel) = play([changed, interrupted, steady]);
    assert_eq!(words(&mut socket).unwrap(), [4]);
    kernel.join().unwrap();
}

#[test]
fn a_list_that_never_rests_is_given_up() {
    let changed = |n| vec![datagram(&[(control::DONE, flag::DUMP_INTR, n, 0)])];
    let (mut socket, kernel) = play([changed; DUMP_ATTEMPTS as usize]);
    assert_eq!(
        words(&mut socket).unwrap_err().to_string(),
        "the list of things changed during each of 8 attempts to read it: try again"
    );
    kernel.join().unwrap();
}

#[test]
fn a_list_that_is_refused_says_why() {
    let (mut socket, kernel) = play([|n| vec![datagram(&[(control::ERROR, 0, n, -1)])]]);
    assert_eq!(
        words(&mut socket).unwrap_err().to_string(),
        "cannot list things: EPERM: Operation not permitted (this takes CAP_NET_ADMIN in the network namespace)"
    );
    kernel.join().unwrap();
}

#[test]
fn an_answer_without_an_object_is_malformed() {
    let (mut socket, kernel) = play([|n| vec![datagram(&[(ITEM, 0, n, 0)])]]);
    let nothing = |_: Message<'_>| -> Option<()> { None };
    let error = socket
        .ask(
            &mut request(1),
            &|| "thing 7".into(),
            Operation::Read,
            nothing,
        )
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the kernel's answer about thing 7 is malformed"
    );
    kernel.join().unwrap();
}

#[test]
fn refusals_over_several_datagrams_are_put_down_to_their_messages() {
    let answers = |n| {
        vec![
            datagram(&[
                (control::ERROR, 0, n + 1, -17),
                (control::ERROR, 0, n - 1, -22),
            ]),
            datagram(&[(control::ERROR, 0, n + 2, -3)]),
            datagram(&[(control::ERROR, 0, n + 3, 0)]),
        ]
    };
    let (mut socket, kernel) = play([answers]);
    let mut refused = Vec::new();
    socket
        .transact(&mut request(4), |_, index, refusal| {
            refused.push((index, refusal.errno));
        })
        .unwrap();
    assert_eq!(refused, [(1, Errno::EEXIST), (2, Errno::ESRCH)]);
    kernel.join().unwrap();
}

#[test]
fn a_refusal_of_the_frame_ends_a_transaction() {
    let (mut socket, kernel) = play([|n| vec![datagram(&[(control::ERROR, 0, n, -85)])]]);
    let mut refused = Vec::new();
    socket
        .transact_atomic(&mut request(3), |_, index, refusal| {
            refused.push((index, refusal.errno));
        })
        .unwrap();
    assert_eq!(refused, [(0, Errno::ERESTART)]);
    kernel.join().unwrap();
}

#[test]
fn a_kernel_that_went_away_is_an_error() {
    let (mut socket, kernel) = play([|_| Vec::new()]);
    let error = words(&mut socket).unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot receive on a netlink socket: unexpected end of file"
    );
    kernel.join().unwrap();
}

#[test]
fn lost_messages_are_an_error_that_says_what_to_do() {
    let error = NetlinkError::Overrun {
        doing: "a list was read".into(),
    };
    assert_eq!(
        error.to_string(),
        "the kernel dropped netlink messages while a list was read: what was read is incomplete, list again"
    );
    assert!(error.is_overrun());
}
