//! What the model keeps in memory of a large cluster. Run with `--nocapture` to see it; at 100,000 pods with
//! `SCALE_PODS`.

#![expect(unsafe_code, reason = "an allocator that counts")]
#![expect(clippy::unwrap_used, reason = "numbers that do not fit fail the test")]

mod large;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use fairlead_netpol_model::Compiler;

use large::{HERE, Shared, attach, pods, policy, relabelled, settle, tell_pods, tell_policies};

/// What a pod may cost: its name, namespace, labels, addresses, node and named ports, and who has its addresses.
const TOLD: usize = 400;
/// The same with what it is to policies: its addresses' classes.
const IN_ALL: usize = 580;

/// Counts what is held.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static COUNTING: Counting = Counting;

/// What glibc takes for it: 8 bytes beside, 32 at least, in steps of 16.
fn chunk(layout: Layout) -> usize {
    (layout.size() + 8).next_multiple_of(16).max(32)
}

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let before = HELD.fetch_add(chunk(layout), Ordering::Relaxed);
        MOST.fetch_max(before + chunk(layout), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(chunk(layout), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

fn held() -> usize {
    HELD.load(Ordering::Relaxed)
}

/// The most that was held since this was last asked.
fn most() -> usize {
    MOST.swap(held(), Ordering::Relaxed)
}

#[test]
fn a_pod_takes_little_and_changes_leave_nothing_behind() {
    let pods = pods();
    let nothing = held();
    let mut compiler = Compiler::new();
    let shared = Shared::new(pods);
    let labels = held() - nothing;
    tell_policies(&mut compiler, &shared);
    let before = held();
    tell_pods(&mut compiler, &shared, pods);
    let told = held() - before + labels;
    most();
    let update = compiler.take_update();
    let peak = most() - nothing;
    drop(update);
    settle(&mut compiler);
    let all = held() - before + labels;
    eprintln!("{} B a pod told, {} B in all", told / pods, all / pods);
    let whole = held() - nothing;
    eprintln!(
        "{} KB with policies, {} KB at most",
        whole >> 10,
        peak >> 10
    );
    assert!(told <= TOLD * pods, "{} B a pod told", told / pods);
    assert!(all <= IN_ALL * pods, "{} B a pod in all", all / pods);

    let change = |compiler: &mut Compiler| {
        for at in 0..2 * HERE {
            compiler.set_pod(relabelled(&shared, at));
            compiler.set_policy(policy(at));
            settle(compiler);
        }
        for at in 0..2 * HERE {
            compiler.set_pod(shared.pod(at));
            attach(compiler, &shared.pod(at % HERE), at % HERE);
            settle(compiler);
        }
    };
    change(&mut compiler);
    let once = held();
    change(&mut compiler);
    let grown = held().saturating_sub(once);
    // Hash tables grow a step when what has left them is still marked.
    assert!(grown < whole / 10, "{grown} B more");
}
