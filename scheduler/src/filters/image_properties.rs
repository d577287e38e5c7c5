//! Hosts that can run what an image holds.

use super::Filter;
use crate::{HostState, SchedulerConfig, Wanted};

const ARCHITECTURE: &str = "hw_architecture";
const HYPERVISOR: &str = "img_hv_type";
const MODE: &str = "hw_vm_mode";
const VERSION: &str = "img_hv_requested_version";

/// The properties that the filter looks at.
pub(crate) const LOOKED_AT: [&str; 4] = [ARCHITECTURE, HYPERVISOR, MODE, VERSION];

/// How guests run on every hypervisor that there is a driver for.
const ONLY_MODE: &str = "hvm";

/// Only hosts of the architecture (`hw_architecture`), the hypervisor (`img_hv_type`, `img_hv_requested_version`) and the
/// mode (`hw_vm_mode`) that the image asks for.
#[derive(Debug)]
pub struct ImagePropertiesFilter;

impl Filter for ImagePropertiesFilter {
    fn name(&self) -> &'static str {
        "ImagePropertiesFilter"
    }

    fn passes(&self, host: &HostState, wanted: &Wanted, _: &SchedulerConfig) -> bool {
        let asked = |name: &str| wanted.image_properties.get(name).filter(|value| !value.is_empty());
        let (architecture, hypervisor, mode) = (asked(ARCHITECTURE), asked(HYPERVISOR), asked(MODE));
        if architecture.is_none() && hypervisor.is_none() && mode.is_none() {
            return true;
        }
        let Some(inventory) = host.inventory.as_deref() else { return false };
        let own = inventory.cpu_info["arch"].as_str().unwrap_or_default();
        architecture.is_none_or(|asked| canonical_architecture(asked) == canonical_architecture(own))
            && hypervisor.is_none_or(|asked| asked.eq_ignore_ascii_case(&inventory.hypervisor_type))
            && mode.is_none_or(|asked| canonical_mode(asked) == ONLY_MODE)
            && asked(VERSION).is_none_or(|asked| version_satisfies(inventory.hypervisor_version, asked))
    }
}

/// Names that mean one architecture (nova/objects/fields.py).
fn canonical_architecture(name: &str) -> String {
    match name.to_ascii_lowercase().as_str() {
        "i386" | "i486" | "i586" => "i686".to_owned(),
        "amd64" => "x86_64".to_owned(),
        other => other.to_owned(),
    }
}

fn canonical_mode(name: &str) -> String {
    match name.to_ascii_lowercase().as_str() {
        "hv" => "hvm".to_owned(),
        "pv" => "xen".to_owned(),
        other => other.to_owned(),
    }
}

/// Whether a version, 7002000 for 7.2.0, is one of those asked for: `>=6.0,<8`. What can't be read is satisfied by none.
fn version_satisfies(version: i64, asked: &str) -> bool {
    if version == 0 {
        return true;
    }
    let own = [version / 1_000_000, version / 1000 % 1000, version % 1000];
    asked.split(',').all(|part| {
        let part = part.trim();
        let number = part.trim_start_matches(['<', '>', '=', '!']);
        let operator = &part[..part.len() - number.len()];
        let mut asked = [0; 3];
        for (place, digits) in number.trim().split('.').enumerate() {
            let Ok(digits) = digits.parse::<i64>() else { return false };
            if let Some(place) = asked.get_mut(place) {
                *place = digits;
            }
        }
        match operator {
            ">=" => own >= asked,
            ">" => own > asked,
            "<=" => own <= asked,
            "<" => own < asked,
            "==" | "" => own == asked,
            "!=" => own != asked,
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_held_against_all_that_is_asked_of_it() {
        for (asked, expected) in [
            (">=6.0", true),
            (">=6.0,<7", false),
            ("<=7.2.0", true),
            ("==7.2", true),
            ("!=7.2.0", false),
            ("seven", false),
            ("~7", false),
        ] {
            assert_eq!(version_satisfies(7_002_000, asked), expected, "{asked}");
        }
    }
}
