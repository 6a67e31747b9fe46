// Switching the model that reads: a worse one is asked about, never taken silently.
import { confirmed, post, tell } from "./tools.js";

export async function useModel(id) {
  try {
    await post(`/api/models/${id}/use`);
  } catch (error) {
    if (!error.ask) throw error;
    const text = error.message.charAt(0).toUpperCase() + error.message.slice(1);
    if (!(await confirmed(`${text}. Use it anyway?`, "Use it anyway"))) return false;
    await post(`/api/models/${id}/use`, { anyway: true });
  }
  tell("From now on this model reads.");
  return true;
}
