//! Rules that can be broken on purpose, to see that the coherence checker notices.
//!
//! Only a build with the feature `mutants` has them; the name comes from the variable `MUTANT`.

/// One broken rule.
#[cfg_attr(
    not(feature = "mutants"),
    expect(dead_code, reason = "some are asked for in builds that have them only")
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// Fill links track with `NOLOOP`.
    Noloop,
    /// Fills are inserted late, by another task than the one that applies pushes.
    FillOffReader,
    /// The push of a flush is ignored.
    IgnoreNullPush,
    /// A write leaves flights valid.
    TokenNotVoidedByWrite,
    /// Entries are served without a lease.
    LeaseNotChecked,
    /// The time to live in Redis is ignored.
    PttlIgnored,
    /// A read past the cache leaves the entry.
    BypassReadKeepsEntry,
    /// A script's reply does not wait for a fence.
    NoFence,
    /// Entries survive the loss of their link.
    EpochNotChecked,
    /// A guard is released when its command is sent.
    WriteGuardReleasedEarly,
    /// The epoch is looked at before the lease.
    EpochBeforeLease,
    /// A reply that a fence held back past δ goes out, and the link's entries stay.
    FenceGivenUpAlone,
    /// A read passes a fetch of the same client for the same key.
    ReadPassesOwnFetch,
    /// A fence asks a link without tracking for a `PING`, like any other.
    FenceTrustsUntracked,
    /// Nobody asks whether a script has exchanged databases.
    SwapsNotCounted,
    /// A script that shows its client no reply is not fenced.
    SilentIsUnfenced,
    /// Reads that do not name their keys are not fenced.
    UnnamedReadIsUnfenced,
    /// An `EXEC` that aborts leaves the watched keys as they are.
    WatchedNotGuarded,
    /// A push takes away what `GET` brought, and leaves the key's other variants.
    VariantOutlivesPush,
    /// What one link brought is served although another one has brought something of the key since.
    OvertakenIsServed,
    /// What an `MGET` had found is shown with what it had fetched, whatever has happened meanwhile.
    MgetUnchecked,
    /// An `MGET` takes what other links brought for as new as what its own has brought.
    MgetMixesLinks,
    /// A fetch is kept although a client was shown another value of its key meanwhile.
    FlightForgetsShown,
    /// The lives of fields of hashes are not asked for.
    FieldLivesIgnored,
    /// On a cluster, that a key is missing is kept like a value.
    NilKept,
    /// Entries stay when slots have other owners.
    OwnersKept,
    /// A client's commands overtake those that are sent on.
    RedirectsOvertaken,
}

/// Whether this rule is broken in this process.
#[cfg(not(feature = "mutants"))]
#[inline]
pub fn is_active(_: Mutant) -> bool {
    false
}

/// Whether this rule is broken in this process.
#[cfg(feature = "mutants")]
pub fn is_active(mutant: Mutant) -> bool {
    static ACTIVE: std::sync::OnceLock<Option<Mutant>> = std::sync::OnceLock::new();
    let active = ACTIVE.get_or_init(|| {
        Some(match std::env::var("MUTANT").ok()?.as_str() {
            "noloop" => Mutant::Noloop,
            "fill_off_reader" => Mutant::FillOffReader,
            "ignore_null_push" => Mutant::IgnoreNullPush,
            "token_not_voided_by_write" => Mutant::TokenNotVoidedByWrite,
            "lease_not_checked" => Mutant::LeaseNotChecked,
            "pttl_ignored" => Mutant::PttlIgnored,
            "bypass_read_keeps_entry" => Mutant::BypassReadKeepsEntry,
            "no_fence" => Mutant::NoFence,
            "epoch_not_checked" => Mutant::EpochNotChecked,
            "write_guard_released_early" => Mutant::WriteGuardReleasedEarly,
            "epoch_before_lease" => Mutant::EpochBeforeLease,
            "fence_given_up_alone" => Mutant::FenceGivenUpAlone,
            "read_passes_own_fetch" => Mutant::ReadPassesOwnFetch,
            "fence_trusts_untracked" => Mutant::FenceTrustsUntracked,
            "swaps_not_counted" => Mutant::SwapsNotCounted,
            "silent_is_unfenced" => Mutant::SilentIsUnfenced,
            "unnamed_read_is_unfenced" => Mutant::UnnamedReadIsUnfenced,
            "watched_not_guarded" => Mutant::WatchedNotGuarded,
            "variant_outlives_push" => Mutant::VariantOutlivesPush,
            "overtaken_is_served" => Mutant::OvertakenIsServed,
            "mget_unchecked" => Mutant::MgetUnchecked,
            "mget_mixes_links" => Mutant::MgetMixesLinks,
            "flight_forgets_shown" => Mutant::FlightForgetsShown,
            "field_lives_ignored" => Mutant::FieldLivesIgnored,
            "nil_kept" => Mutant::NilKept,
            "owners_kept" => Mutant::OwnersKept,
            "redirects_overtaken" => Mutant::RedirectsOvertaken,
            _ => return None,
        })
    });
    *active == Some(mutant)
}
