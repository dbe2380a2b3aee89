// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The program with which libFuzzer looks for input that [`fuzz::witness`] does not take.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::witness(data));
