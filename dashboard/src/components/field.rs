//! Parts of forms: the label above, help under, what is wrong beside.

use web_sys::{HtmlInputElement, HtmlSelectElement, HtmlTextAreaElement};
use yew::prelude::*;

/// A control with everything that belongs to it.
fn field(
    id: &AttrValue,
    label: &AttrValue,
    help: Option<&AttrValue>,
    error: Option<&AttrValue>,
    control: Html,
) -> Html {
    html! {
        <div class="field">
            <label for={id.clone()}>{ label }</label>
            { control }
            if let Some(error) = error {
                <p class="field-error" id={format!("{id}-note")} role="alert">{ error }</p>
            } else if let Some(help) = help {
                <p class="field-help" id={format!("{id}-note")}>{ help }</p>
            }
        </div>
    }
}

#[derive(PartialEq, Properties)]
pub struct TextFieldProps {
    /// The input's id, unique on the page.
    pub id: AttrValue,
    /// What it is called.
    pub label: AttrValue,
    /// What is in it.
    pub value: AttrValue,
    /// It changed.
    pub on_input: Callback<String>,
    /// The kind of input.
    #[prop_or("text".into())]
    pub kind: AttrValue,
    /// Shown while it is empty.
    #[prop_or_default]
    pub placeholder: AttrValue,
    /// What a password manager may put there.
    #[prop_or("off".into())]
    pub autocomplete: AttrValue,
    /// One sentence under it.
    #[prop_or_default]
    pub help: Option<AttrValue>,
    /// What is wrong with it.
    #[prop_or_default]
    pub error: Option<AttrValue>,
    /// The id of a list with what it may be.
    #[prop_or_default]
    pub list: Option<AttrValue>,
    /// Whether it must be filled.
    #[prop_or_default]
    pub required: bool,
    /// Whether the form opens with the focus here.
    #[prop_or_default]
    pub autofocus: bool,
}

/// One line of text.
#[component]
pub fn TextField(props: &TextFieldProps) -> Html {
    let node = use_node_ref();
    use_effect_with((), {
        let (node, wanted) = (node.clone(), props.autofocus);
        move |()| {
            if wanted && let Some(input) = node.cast::<HtmlInputElement>() {
                // Focus is a comfort: without it the form works all the same.
                let _ = input.focus();
            }
        }
    });
    let on_input = props.on_input.clone();
    let oninput = move |event: InputEvent| {
        if let Some(input) = event.target_dyn_into::<HtmlInputElement>() {
            on_input.emit(input.value());
        }
    };
    let note =
        (props.error.is_some() || props.help.is_some()).then(|| format!("{}-note", props.id));
    let control = html! {
            <input ref={node} id={props.id.clone()} name={props.id.clone()} type={props.kind.clone()} value={props.value.clone()} {oninput}
                placeholder={props.placeholder.clone()} autocomplete={props.autocomplete.clone()} required={props.required} list={props.list.clone()}
                aria-describedby={note} aria-invalid={props.error.is_some().then_some("true")} spellcheck="false" />
    };
    field(
        &props.id,
        &props.label,
        props.help.as_ref(),
        props.error.as_ref(),
        control,
    )
}

/// One of a few, each a value and words.
pub fn select_field(
    id: AttrValue,
    label: &'static str,
    held: &str,
    options: &[(AttrValue, AttrValue)],
    on_change: Callback<String>,
    help: Option<&'static str>,
    error: Option<AttrValue>,
) -> Html {
    let onchange = move |event: Event| {
        if let Some(select) = event.target_dyn_into::<HtmlSelectElement>() {
            on_change.emit(select.value());
        }
    };
    let control = html! {
        <select id={id.clone()} {onchange}>
            { for options.iter().map(|(value, words)| html! {
                <option value={value.clone()} selected={*value == held}>{ words }</option>
            }) }
        </select>
    };
    field(
        &id,
        &label.into(),
        help.map(AttrValue::from).as_ref(),
        error.as_ref(),
        control,
    )
}

/// Several lines of text.
pub fn text_area(
    id: &'static str,
    label: &'static str,
    value: &str,
    on_input: Callback<String>,
    help: &'static str,
    error: Option<AttrValue>,
) -> Html {
    let is_wrong = error.is_some().then_some("true");
    let oninput = move |event: InputEvent| {
        if let Some(area) = event.target_dyn_into::<HtmlTextAreaElement>() {
            on_input.emit(area.value());
        }
    };
    let control = html! {
        <textarea {id} rows="4" value={value.to_owned()} {oninput} autocomplete="off" spellcheck="false" aria-describedby={format!("{id}-note")} aria-invalid={is_wrong} />
    };
    field(
        &id.into(),
        &label.into(),
        Some(&help.into()),
        error.as_ref(),
        control,
    )
}

/// One of a few, each with a sentence: value, words, sentence.
pub fn choices(
    name: &'static str,
    legend: &'static str,
    held: &str,
    options: &[(&'static str, &'static str, &'static str)],
    on_change: &Callback<String>,
) -> Html {
    let option = |(value, words, sentence): &(&'static str, &'static str, &'static str)| {
        let (on_change, value) = (on_change.clone(), *value);
        html! {
            <label class="choice">
                <input type="radio" {name} {value} checked={held == value} onchange={move |_: Event| on_change.emit(value.to_owned())} />
                <span>{ *words }<span class="field-help">{ *sentence }</span></span>
            </label>
        }
    };
    html! { <fieldset class="checks choices"><legend>{ legend }</legend>{ for options.iter().map(option) }</fieldset> }
}
