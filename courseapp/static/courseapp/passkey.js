// Passkeys: a form with data-passkey asks the device and posts its answer in the hidden field `credential`.
// Without scripts, or in a browser that knows no passkeys, the form stays hidden; then a [data-no-passkeys] says so.

const words = {
  NotAllowedError: "It was cancelled, or took too long. Nothing was changed. Try again.",
  InvalidStateError: "This device already holds a passkey of this account.",
  SecurityError: "Passkeys need this site's name over HTTPS; it was opened under an address or without encryption.",
  ConstraintError: "This device cannot hold such a passkey. Untick “Sign in with it alone”, or use another device.",
};
const known = () => window.PublicKeyCredential?.parseCreationOptionsFromJSON && window.PublicKeyCredential.prototype.toJSON;

async function options(form) {
  if (form.dataset.options) return JSON.parse(document.getElementById(form.dataset.options).textContent).publicKey;
  const answer = await fetch(form.action, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(answer.status === 429 ? "Too many tries. Wait a minute." : `The server did not answer (${answer.status}).`);
  return (await answer.json()).request_options.publicKey;
}

async function ask(form) {
  const publicKey = await options(form);
  if (form.dataset.passkey !== "create") {
    return navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(publicKey) });
  }
  const alone = form.querySelector("[data-alone]").checked;
  Object.assign(publicKey.authenticatorSelection, {
    residentKey: alone ? "required" : "discouraged",
    requireResidentKey: alone,
    ...(alone ? { userVerification: "required" } : {}),
  });
  return navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(publicKey) });
}

function start(form) {
  const button = form.querySelector("button");
  const problem = form.querySelector("[data-problem]");
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    problem.hidden = true;
    try {
      form.elements.credential.value = JSON.stringify(await ask(form));
      form.submit();
    } catch (error) {
      button.disabled = false;
      problem.textContent = words[error.name] ?? error.message;
      problem.hidden = false;
      button.focus();
    }
  });
}

if (known()) document.querySelectorAll("form[data-passkey]").forEach(start);
else document.querySelectorAll("[data-no-passkeys]").forEach((element) => { element.hidden = false; });
