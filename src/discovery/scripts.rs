//! The scripts that the backing runs, one per operation.

use crate::upstream::ControlScript;

/// Every script, named by its hash once.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) register: ControlScript,
    pub(super) get: ControlScript,
    pub(super) join: ControlScript,
    pub(super) heartbeat: ControlScript,
    pub(super) leave: ControlScript,
    pub(super) nodes: ControlScript,
    pub(super) resolve: ControlScript,
    pub(super) services: ControlScript,
    pub(super) deregister: ControlScript,
    pub(super) drop: ControlScript,
    pub(super) tick: ControlScript,
    pub(super) listed: ControlScript,
    pub(super) presence: ControlScript,
    pub(super) list_group: ControlScript,
    pub(super) unlist_group: ControlScript,
    pub(super) groups: ControlScript,
    pub(super) tip: ControlScript,
}

/// A script on one group: `scripts/prelude.lua`, then its own file.
macro_rules! on_group {
    ($($file:literal),+) => {
        ControlScript::new(concat!(
            include_str!("scripts/prelude.lua"),
            $(include_str!(concat!("scripts/", $file))),+
        ))
    };
}

impl Scripts {
    pub(super) fn new() -> Self {
        Scripts {
            register: on_group!("register.lua"),
            get: on_group!("get.lua").repeatable(),
            join: on_group!("join.lua"),
            heartbeat: on_group!("heartbeat.lua").repeatable(),
            leave: on_group!("leave.lua"),
            nodes: on_group!("nodes.lua").repeatable(),
            resolve: on_group!("resolve.lua").repeatable(),
            services: on_group!("each_service.lua", "services.lua").repeatable(),
            deregister: on_group!("deregister.lua"),
            drop: on_group!("each_service.lua", "drop.lua"),
            tick: on_group!("tick.lua").repeatable(),
            listed: on_group!("listed.lua").repeatable(),
            presence: ControlScript::new(include_str!("scripts/presence.lua")).repeatable(),
            list_group: ControlScript::new(include_str!("scripts/list_group.lua")).repeatable(),
            unlist_group: ControlScript::new(include_str!("scripts/unlist_group.lua")),
            groups: ControlScript::new(include_str!("scripts/groups.lua")).repeatable(),
            tip: ControlScript::new(include_str!("scripts/tip.lua")).repeatable(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::names::{GROUP_NODES, SERVICE_NODES, SERVICES, TOTAL_BYTES};

    /// What is refused as too much is never what `names` allows.
    #[test]
    fn the_scripts_read_all_that_may_be_there() {
        let prelude = include_str!("scripts/prelude.lua");
        for (name, most) in [
            ("MOST_SERVICES", SERVICES),
            ("MOST_OF_SERVICE", SERVICE_NODES),
            ("MOST_NODES", GROUP_NODES),
            ("MOST_RECORD", 2 * TOTAL_BYTES),
        ] {
            assert!(
                prelude.contains(&format!("local {name} = {most} ")),
                "{name} is not {most}"
            );
        }
    }
}
