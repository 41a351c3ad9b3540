//! Parts of pages: they take props and never fetch.

pub mod alert;
pub mod ask;
pub mod bar;
pub mod capped;
pub mod change;
pub mod chart;
pub mod dialog;
pub mod empty;
pub mod fact;
pub mod field;
pub mod filters;
pub mod fleet_table;
pub mod fold;
pub mod form;
pub mod go;
pub mod icon;
pub mod labels;
pub mod menu;
pub mod palette;
pub mod rail;
pub mod range_picker;
pub mod secret;
pub mod sparkline;
pub mod status;
pub mod time;
pub mod whom;
