//! What is looked up elsewhere: the place of an address.

use super::State;
use super::store::Slice;
use crate::waf::compile::program::Program;
use crate::waf::variable::Storage;
use std::net::IpAddr;

impl State {
    /// Fills GEO with what the database knows of an address; false when it knows nothing.
    pub(super) fn geo_lookup(&mut self, program: &Program, value: Slice) -> bool {
        let Some(database) = &program.geo else { return false };
        let Some(address) = address(self.store.bytes(value)) else { return false };
        let store = &mut self.store;
        store.clear(Storage::Geo.id());
        database.look_up(address, &mut |name, value| {
            let (name, value) = (store.put(name.as_bytes()), store.put(value.as_bytes()));
            store.add(Storage::Geo.id(), name, value);
        })
    }
}

fn address(text: &[u8]) -> Option<IpAddr> {
    let address: IpAddr = std::str::from_utf8(text).ok()?.trim().parse().ok()?;
    Some(address.to_canonical())
}
