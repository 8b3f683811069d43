/* Search works in a worker, and browsers start none for a page that was opened from disk. There, and only there, this
   takes its place: a hidden frame that runs the same script and passes the same messages. */
if (location.protocol === "file:") {
  window.IFrameWorker = window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.appendChild(frame)
      const inside = frame.contentWindow
      const given = event => {
        this.dispatchEvent(new MessageEvent("message", { data: event.data }))
        if (this.onmessage) this.onmessage(event)
      }
      // What the script in the frame posts goes to this object, and nowhere else.
      inside.postMessage = data => given({ data })
      inside.importScripts = (...urls) => urls.reduce((before, next) => before.then(() => this.#loaded(inside, next)), Promise.resolve())
      this.ready = this.#loaded(inside, url)
      this.inside = inside
    }
    #loaded(inside, url) {
      return new Promise((resolve, reject) => {
        const script = inside.document.createElement("script")
        script.src = url
        script.onload = resolve
        script.onerror = reject
        inside.document.body.appendChild(script)
      })
    }
    postMessage(data) {
      this.ready = this.ready.then(() => this.inside.dispatchEvent(new MessageEvent("message", { data })))
    }
    terminate() {
      this.inside.frameElement.remove()
    }
  }
}
