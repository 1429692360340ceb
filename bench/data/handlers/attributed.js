// What has to be known of each event by itself: a line, and whatever follows an await.
async function onTrack(event) {
  console.log(event.messageId);
  await null;
  return event.userId;
}
if (typeof module !== 'undefined') module.exports = { onTrack };
