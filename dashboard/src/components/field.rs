//! Parts of forms: the label above, help under, what is wrong beside.

use web_sys::{HtmlInputElement, HtmlSelectElement};
use yew::prelude::*;

#[derive(PartialEq, Properties)]
pub struct FieldProps {
    /// The control's id.
    pub id: AttrValue,
    /// What it is called.
    pub label: AttrValue,
    /// One sentence under it.
    #[prop_or_default]
    pub help: Option<AttrValue>,
    /// What is wrong with it.
    #[prop_or_default]
    pub error: Option<AttrValue>,
    /// The control.
    pub children: Html,
}

/// A control with everything that belongs to it.
#[component]
pub fn Field(props: &FieldProps) -> Html {
    html! {
        <div class="field">
            <label for={props.id.clone()}>{ &props.label }</label>
            { props.children.clone() }
            if let Some(error) = &props.error {
                <p class="field-error" id={format!("{}-note", props.id)} role="alert">{ error }</p>
            } else if let Some(help) = &props.help {
                <p class="field-help" id={format!("{}-note", props.id)}>{ help }</p>
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
    html! {
        <Field id={props.id.clone()} label={props.label.clone()} help={props.help.clone()} error={props.error.clone()}>
            <input ref={node} id={props.id.clone()} name={props.id.clone()} type={props.kind.clone()} value={props.value.clone()} {oninput}
                placeholder={props.placeholder.clone()} autocomplete={props.autocomplete.clone()} required={props.required} list={props.list.clone()}
                aria-describedby={note} aria-invalid={props.error.is_some().then_some("true")} spellcheck="false" />
        </Field>
    }
}

#[derive(PartialEq, Properties)]
pub struct SelectFieldProps {
    /// The control's id.
    pub id: AttrValue,
    /// What it is called.
    pub label: AttrValue,
    /// What is chosen.
    pub value: AttrValue,
    /// What there is to choose from: value and words.
    pub options: Vec<(AttrValue, AttrValue)>,
    /// Another was chosen.
    pub on_change: Callback<String>,
    /// One sentence under it.
    #[prop_or_default]
    pub help: Option<AttrValue>,
    /// What is wrong with it.
    #[prop_or_default]
    pub error: Option<AttrValue>,
}

/// One of a few.
#[component]
pub fn SelectField(props: &SelectFieldProps) -> Html {
    let on_change = props.on_change.clone();
    let onchange = move |event: Event| {
        if let Some(select) = event.target_dyn_into::<HtmlSelectElement>() {
            on_change.emit(select.value());
        }
    };
    html! {
        <Field id={props.id.clone()} label={props.label.clone()} help={props.help.clone()} error={props.error.clone()}>
            <select id={props.id.clone()} {onchange}>
                { for props.options.iter().map(|(value, words)| html! {
                    <option value={value.clone()} selected={*value == props.value}>{ words }</option>
                }) }
            </select>
        </Field>
    }
}
