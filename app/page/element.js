// A DOM node. Strings among the children become text nodes: nothing that a model or a document says is read as HTML.

export function element(tag, className = "", ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

export function button(className, ...children) {
  const made = element("button", className, ...children);
  made.type = "button";
  return made;
}
