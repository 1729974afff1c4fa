// The form to log in with.

const form = document.getElementById("login");
const wrong = document.getElementById("wrong");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  wrong.textContent = "";
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const body = new URLSearchParams(new FormData(form));
    const response = await fetch("/login", { method: "POST", body });
    if (response.ok) {
      location.replace("/");
      return;
    }
    wrong.textContent = response.status === 401
      ? "That user and password, or that token, is not known."
      : (await response.json()).error;
  } catch {
    wrong.textContent = "Respite cannot be reached.";
  }
  button.disabled = false;
  document.getElementById("password").select();
});
