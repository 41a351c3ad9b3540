//! The fields that say whom something is for.

use yew::prelude::*;

use super::field::{TextField, select_field};
use crate::whom::{Whom, Whose};

/// All hosts, or which.
pub fn whom_fields(whom: &Whom, on_change: Callback<Whom>, error: Option<AttrValue>) -> Html {
    let options = Whose::WORDS.map(|(_, words)| (words.into(), words.into()));
    let is_held = |(whose, _): &&(Whose, &str)| *whose == whom.whose;
    let held = Whose::WORDS.iter().find(is_held);
    let on_whose = {
        let (which, on_change) = (whom.which.clone(), on_change.clone());
        Callback::from(move |text: String| {
            let chosen = Whose::WORDS.iter().find(|(_, words)| *words == text);
            on_change.emit(Whom {
                whose: chosen.map_or(Whose::All, |(whose, _)| *whose),
                which: which.clone(),
            });
        })
    };
    let whose = whom.whose;
    let on_which = on_change.reform(move |which| Whom { whose, which });
    let (label, placeholder) = match whose {
        Whose::Labels => ("Labels", "role=web, env=prod"),
        _ => ("Hosts", "web-1, web-2"),
    };
    html! {
        <>
            { select_field("whose".into(), "Where", held.map_or("", |(_, words)| *words), &options, on_whose, None, None) }
            if whose != Whose::All {
                <TextField id="which" {label} value={whom.which.clone()} on_input={on_which} {error} {placeholder} />
            }
        </>
    }
}
