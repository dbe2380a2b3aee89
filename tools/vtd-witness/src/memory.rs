// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Table entries in guest memory.

use std::sync::atomic::Ordering;

use vm_memory::{Bytes, GuestAddress, GuestMemory};

use crate::Fault;

/// Bits 63:12 of an entry: the address of a 4 KiB aligned table or page.
pub const PAGE_MASK: u64 = !0xfff;

/// Reads the 64-bit word at `address`; `fault` if it is not in guest memory. One atomic load,
/// because the guest may change the entry meanwhile.
pub fn read<M: GuestMemory>(memory: &M, address: u64, fault: Fault) -> Result<u64, Fault> {
    memory
        .load(GuestAddress(address), Ordering::Acquire)
        .map(u64::from_le)
        .map_err(|_| fault)
}

/// Reads the `N` words of an entry at `address`.
pub fn read_entry<M: GuestMemory, const N: usize>(
    memory: &M,
    address: u64,
    fault: Fault,
) -> Result<[u64; N], Fault> {
    let mut entry = [0; N];
    for (word, offset) in entry.iter_mut().zip((0..).step_by(8)) {
        *word = read(memory, address.wrapping_add(offset), fault)?;
    }
    Ok(entry)
}

/// Bits `high..=low`, both at most 63.
pub const fn bits(high: u32, low: u32) -> u64 {
    (u64::MAX >> (63 - high)) & (u64::MAX << low)
}
