//! Whether this machine runs on battery, from what Linux tells of its power supplies (`Documentation/ABI/testing/sysfs-class-power`).
//!
//! The rule is that of systemd's `ConditionACPower=`: a mains or USB supply that is online settles it; without one a battery of the
//! machine that is being discharged means battery; everything else, desktops and virtual machines among it, is unknown.

use std::fs;
use std::path::Path;

/// Supplies that are looked at; machines have a handful.
const SUPPLIES_MAX: usize = 64;

/// Whether the machine whose supplies are told of in `folder` (`/sys/class/power_supply`) runs on battery. Blocks for a moment.
/// What cannot be read counts as not there, and no supply at all as not on battery.
pub(crate) fn is_on_battery(folder: &Path) -> bool {
    let Ok(supplies) = fs::read_dir(folder) else {
        return false;
    };
    let mut is_discharging = false;
    for supply in supplies.flatten().take(SUPPLIES_MAX) {
        let supply = supply.path();
        let says = |file: &str, word: &str| {
            let text = fs::read_to_string(supply.join(file));
            text.is_ok_and(|text| text.trim() == word)
        };
        // A battery of a mouse or a headset says so.
        if says("scope", "Device") {
            continue;
        }
        if says("type", "Battery") {
            is_discharging |= says("status", "Discharging");
        } else if (says("type", "Mains") || says("type", "USB")) && says("online", "1") {
            return false;
        }
    }
    is_discharging
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn machine(supplies: &[(&str, &[(&str, &str)])]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (supply, files) in supplies {
            let supply = folder.path().join(supply);
            fs::create_dir(&supply).unwrap();
            for (file, text) in *files {
                fs::write(supply.join(file), format!("{text}\n")).unwrap();
            }
        }
        folder
    }

    #[test]
    fn a_laptop_is_on_battery_when_it_discharges_and_nothing_feeds_it() {
        const DISCHARGING: (&str, &[(&str, &str)]) =
            ("BAT0", &[("type", "Battery"), ("status", "Discharging")]);
        const CHARGING: (&str, &[(&str, &str)]) =
            ("BAT0", &[("type", "Battery"), ("status", "Charging")]);
        const UNPLUGGED: (&str, &[(&str, &str)]) = ("AC", &[("type", "Mains"), ("online", "0")]);
        const PLUGGED: (&str, &[(&str, &str)]) = ("AC", &[("type", "Mains"), ("online", "1")]);
        const DOCK: (&str, &[(&str, &str)]) = ("ucsi", &[("type", "USB"), ("online", "1")]);
        const MOUSE: (&str, &[(&str, &str)]) = (
            "hidpp_battery_0",
            &[
                ("type", "Battery"),
                ("status", "Discharging"),
                ("scope", "Device"),
            ],
        );
        for (supplies, on_battery) in [
            (vec![UNPLUGGED, DISCHARGING], true),
            (vec![DISCHARGING], true),
            (vec![PLUGGED, CHARGING], false),
            // A supply that is too weak lets the battery run down, and is one all the same.
            (vec![UNPLUGGED, DOCK, DISCHARGING], false),
            (vec![UNPLUGGED, CHARGING], false),
            (vec![MOUSE], false),
            (vec![PLUGGED, MOUSE], false),
            (vec![UNPLUGGED], false),
            (vec![], false),
        ] {
            let machine = machine(&supplies);
            assert_eq!(is_on_battery(machine.path()), on_battery, "{supplies:?}");
        }
        assert!(!is_on_battery(Path::new("/nowhere/at/all")));
    }
}
