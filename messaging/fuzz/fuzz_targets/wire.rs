//! Whatever arrives from the bus: it is read or refused, never a panic; and what is read is written so that it reads
//! the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    novella_messaging::fuzzing::request(body);
    novella_messaging::fuzzing::reply(body);
    novella_messaging::fuzzing::notification(body);
});
