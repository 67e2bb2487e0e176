//! Names of Windows events, the same from EVTX, XML and JSON: `System`'s elements go by their own
//! names, their attributes by `Element_Attribute` (`Provider_Name`), `EventData`'s by the `Name` of
//! each `Data` without blanks, `UserData`'s by the names of its innermost elements.
//!
//! Which category and service an event belongs to hangs on its channel and number and on what a
//! rule asks of them; that table stands with the rules. Here only the product is told.

use super::draft::Draft;

/// Stands for the `Name` of a `Data` element until its text is read.
pub(super) const DATA_NAME: &str = "Data Name";
/// The time of an event.
pub(super) const TIME: &str = "TimeCreated_SystemTime";

/// What a finished event says of its place among all.
pub(super) fn conclude(draft: &mut Draft<'_>) {
    draft.log_source.product = "windows";
    draft.number = draft.first("EventRecordID").and_then(|text| text.parse().ok());
}
